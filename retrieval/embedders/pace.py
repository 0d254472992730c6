"""Choose the size of calls and batches, and when to load torch, by the speed of an embedder."""

import math
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
MIN_TORCH_SPEEDUP = 1.5  # over an exported tower, for which torch is loaded in a long run
TORCH_LOAD_SECONDS = 5.0  # to import torch and load a model
PAUSE_SECONDS = 60.0  # without inputs, after which a new run begins

Input = TypeVar("Input")


class EmbeddingPace:
    """The speed of an embedder, for images and for texts."""

    def __init__(self, stop: Event | None = None, call_inputs: int | None = None) -> None:
        """Measure calls; setting `stop` ends them with CancelledError.

        With `call_inputs`, all calls have as many inputs, so that the vectors do not depend on the speed.
        """
        self._stop, self._call_inputs = stop, call_inputs
        self._rates: dict[str, float] = {}  # inputs a second

    def embed(
        self, name: str, embed: Callable[[Sequence[Input]], Vectors], inputs: Sequence[Input]
    ) -> Vectors:
        """Return the vectors of inputs, (n, d), in calls of about CALL_SECONDS."""
        parts, first = list[Vectors](), 0
        while first < len(inputs):
            if self._stop is not None and self._stop.is_set():
                raise CancelledError
            count = self._call_inputs or max(MIN_CALL, int(self._rates.get(name, 0) * CALL_SECONDS))
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


class TorchDecision:
    """Tell when a run, whose length is not known before its end, is long enough to load torch.

    At most as much time is lost as torch takes to load.
    """

    def __init__(self, speedup: float, load_seconds: float = TORCH_LOAD_SECONDS) -> None:
        """`speedup` is that of torch over the exported tower."""
        self._limit = load_seconds / (1 - 1 / speedup) if speedup >= MIN_TORCH_SPEEDUP else math.inf
        self._seconds = self._time = 0.0

    def add(self, seconds: float) -> None:
        """Count seconds that the exported tower has just run; a pause begins a new run."""
        now = monotonic()
        if now - self._time > PAUSE_SECONDS:
            self._seconds = 0.0
        self._seconds, self._time = self._seconds + seconds, now

    @property
    def is_due(self) -> bool:
        """Return True if torch would have saved in this run what it takes to load."""
        return self._seconds >= self._limit
