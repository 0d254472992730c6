"""Towers exported to ONNX, on onnxruntime: they start in a fraction of a second, without torch."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from retrieval.embedders.base import Rows
from retrieval.system import cores
from retrieval.types import Vectors

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

FEW = 2  # rows, for which one lane a core would leave cores idle


class OnnxTower:
    """An exported tower: rows in, unit vectors out. It is loaded when first needed."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def embed(self, batches: Sequence[Rows]) -> Vectors:
        """Embed batches of rows, each (n, ...), in order: (sum of n, d). Each core has its own."""
        if len(batches) == 1 and len(batches[0]) <= FEW:
            return _run(self._together, batches[0])
        with ThreadPoolExecutor(cores()) as lanes:
            return np.concatenate(list(lanes.map(partial(_run, self._apart), batches)))

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

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if ready_soon:  # the weights stay in the mapped file, of which a query touches but a part
            options.add_session_config_entry("session.disable_prepacking", "1")
        return onnxruntime.InferenceSession(str(self.file), options, providers=["CPUExecutionProvider"])


def _run(session: "InferenceSession", rows: Rows) -> Vectors:
    return np.asarray(session.run(None, {"rows": rows})[0], np.float32)
