"""Towers exported to ONNX, on onnxruntime, which starts in a fraction of a second without torch."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from retrieval.embedders.base import InputBatch
from retrieval.system import cores
from retrieval.types import Vectors

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MAX_MULTI_THREAD_ROWS = 2  # batches of up to this many rows are computed by all cores together


class OnnxTower:
    """An exported tower: rows in, unit vectors out. It is loaded on first use."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def embed(self, batches: Sequence[InputBatch]) -> Vectors:
        """Embed batches of rows, each (n, ...), in order: (sum of n, d). Each core computes a batch."""
        if len(batches) == 1 and len(batches[0]) <= MAX_MULTI_THREAD_ROWS:
            return _run(self._multi_thread_session, batches[0])
        with ThreadPoolExecutor(cores()) as threads:
            return np.concatenate(list(threads.map(partial(_run, self._single_thread_session), batches)))

    @cached_property
    def _multi_thread_session(self) -> "InferenceSession":
        """Return a fast-starting session in which all cores compute one batch, for a single query."""
        return self._session(cores(), fast_start=True)

    @cached_property
    def _single_thread_session(self) -> "InferenceSession":
        """Return a session in which each core computes its own batches, so that none waits for another."""
        return self._session(1, fast_start=False)

    def _session(self, threads: int, *, fast_start: bool) -> "InferenceSession":
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if fast_start:  # the weights stay in the mapped file; a query reads a part of them
            options.add_session_config_entry("session.disable_prepacking", "1")
        return onnxruntime.InferenceSession(str(self.file), options, providers=["CPUExecutionProvider"])


def _run(session: "InferenceSession", rows: InputBatch) -> Vectors:
    return np.asarray(session.run(None, {"rows": rows})[0], np.float32)
