"""Measure the speed of an embedder, so that its calls and batches take about the same time."""

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from threading import Event
from time import monotonic
from typing import TypeVar

import numpy as np

from retrieval.types import Vectors

MIN_CALL = 32  # inputs of a call, if there are as many: a part of its time does not depend on them
MIN_BATCH, FIRST_BATCH = 4, 16  # inputs of a batch, and of the first one, whose speed is not known
CALL_SECONDS = 0.5  # of a call, between two checks for a stop

Input = TypeVar("Input")


class EmbeddingPace:
    """The speed of an embedder, for images and for texts."""

    def __init__(self, stop: Event | None = None) -> None:
        """Measure calls; setting `stop` ends them with CancelledError."""
        self._stop = stop
        self._rates: dict[str, float] = {}  # inputs a second

    def embed(
        self, name: str, embed: Callable[[Sequence[Input]], Vectors], inputs: Sequence[Input]
    ) -> Vectors:
        """Return the vectors of inputs, (n, d), in calls of about CALL_SECONDS."""
        parts, first = list[Vectors](), 0
        while first < len(inputs):
            if self._stop is not None and self._stop.is_set():
                raise CancelledError
            count = max(MIN_CALL, int(self._rates.get(name, 0) * CALL_SECONDS))
            part = inputs[first : first + count]
            started = monotonic()
            parts.append(embed(part))
            self._rates[name] = len(part) / max(1e-6, monotonic() - started)
            first += len(part)
        return np.concatenate(parts)

    def batch_size(self, seconds: float, most: int) -> int:
        """Return how many inputs of the slowest type take some seconds, at most `most`."""
        rate = min(self._rates.values(), default=None)
        return min(most, FIRST_BATCH if rate is None else max(MIN_BATCH, int(rate * seconds)))
