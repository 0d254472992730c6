"""Towers exported to ONNX, on onnxruntime: they start in a fraction of a second, without torch."""

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retrieval.machine import cores
from retrieval.records import Vectors

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

FEW = 2  # rows, for which one lane a core would leave cores idle


class OnnxTower:
    """An exported tower: rows in, unit vectors out. It is loaded when first needed."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def embed(self, rows: np.ndarray[Any, Any], batch: int) -> Vectors:
        """Embed (n, ...) rows, at most `batch` at a time a core: (n, d)."""
        if len(rows) <= FEW:
            return self._run(self._together, rows)
        pieces = [rows[at : at + batch] for at in range(0, len(rows), batch)]
        with ThreadPoolExecutor(cores()) as lanes:
            return np.concatenate(list(lanes.map(lambda piece: self._run(self._apart, piece), pieces)))

    @staticmethod
    def _run(session: "InferenceSession", rows: np.ndarray[Any, Any]) -> Vectors:
        return np.asarray(session.run(None, {session.get_inputs()[0].name: rows})[0], np.float32)

    @cached_property
    def _together(self) -> "InferenceSession":
        """Start a session in which all cores work on one batch; soonest ready is best for one query."""
        return self._session(cores(), ready_soon=True)

    @cached_property
    def _apart(self) -> "InferenceSession":
        """Start a session of which each core runs batches of its own, so that none waits for another."""
        return self._session(1, ready_soon=False)

    def _session(self, threads: int, *, ready_soon: bool) -> "InferenceSession":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if ready_soon:  # the weights stay in the mapped file, of which a query touches but a part
            options.add_session_config_entry("session.disable_prepacking", "1")
        return onnxruntime.InferenceSession(str(self.file), options, providers=["CPUExecutionProvider"])
