"""The text tower of the built-in model in numpy: it reads the weights of the ONNX file where they lie.

A cold search embeds one text. For that, numpy on the mapped file takes 20 ms, of which most is the conversion
of the weights; importing onnxruntime and creating a session takes 200 ms and 100 MB.

The network is the Universal Sentence Encoder multilingual: the vectors of the tokens are projected,
convolved over 2, 3 and 5 tokens, averaged, and go through a residual network and the head of `builtin`.
"""

import mmap
from collections.abc import Iterator, Sequence
from math import erf
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from retrieval.types import Vectors

WIDTHS = (2, 3, 5)  # tokens of each convolution
CHANNELS = 256  # of each convolution
EPSILON = 1e-12
SQRT_HALF = 0.5**0.5
DTYPES: dict[int, DTypeLike] = {1: np.float32, 2: np.uint8, 3: np.int8}  # by ONNX's number
MODEL_GRAPH, GRAPH_TENSOR = 7, 5  # fields of ONNX's messages
TENSOR_DIMS, TENSOR_TYPE, TENSOR_NAME, TENSOR_DATA = 1, 2, 8, 9
VARINT, FIXED_64, BYTES = 0, 1, 2  # wire types of Protocol Buffers; the fourth, 5, has 32 bits

Tensors: TypeAlias = dict[str, NDArray[Any]]
Field: TypeAlias = tuple[int, Any]  # its number and its value, an int or a memoryview


class MappedTextTower:
    """The tower of a mapped ONNX file."""

    def __init__(self, file: Path) -> None:
        tensors = read_tensors(file)
        self._table, self._ranges = tensors["table"], tensors["scale"]
        self._weights = {
            name.removeprefix("m.").removeprefix("u.").removesuffix("_q"): _dequantize(tensors, name)
            for name in tensors
            if name not in ("table", "scale") and not name.endswith(("_s", "_z"))
        }

    def embed(self, ids: Sequence[int]) -> Vectors:
        """Return the unit vector of a text, (d,), from the ids of its tokens; 0, unknown, has no meaning."""
        weights, rows = self._weights, list(ids)
        known = np.array([[id_ != 0] for id_ in rows], np.float32)
        count = known.sum()
        packed = self._table[rows]
        codes = np.stack([packed & 15, packed >> 4], axis=2).reshape(len(rows), -1)
        scale, offset = self._ranges[rows].T[:, :, None]
        tokens = (codes * scale + offset) * known
        projected = _normalize(self._linear(tokens, "pw") + weights["pb"], weights["lg"], weights["lb"])
        projected *= known
        parts = [tokens]
        for number, width in enumerate(WIDTHS):
            part = projected[:, number * CHANNELS : (number + 1) * CHANNELS]
            for layer in (f"1.{number}", f"2.{number}"):
                added = self._linear(_windows(part, width), f"w{layer}") + weights[f"b{layer}"]
                part = (part + np.maximum(added, 0)) * known
            parts.append(part)
        total = known * _normalize(np.concatenate(parts, axis=1), weights["g"], weights["b"])
        total = total.sum(axis=0, keepdims=True)
        mean = (self._linear(total, "cw") + count * weights["cb"]) / np.sqrt(count)
        hidden = _relu(self._linear(mean, "p1") + self._linear(_relu(self._linear(mean, "d0")), "d1"))
        hidden = self._linear(hidden, "p3") + self._linear(_relu(self._linear(hidden, "d2")), "d3")
        sentence = _unit(np.tanh(hidden))
        wide = self._linear(sentence, "a.weight") + weights["a.bias"]
        wide *= np.array([0.5 + 0.5 * erf(value * SQRT_HALF) for value in wide[0].tolist()], np.float32)
        vectors = self._linear(sentence, "l.weight") + weights["l.bias"]
        vectors += self._linear(wide, "b.weight") + weights["b.bias"]
        return _unit(vectors).reshape(-1)

    def _linear(self, rows: Vectors, name: str) -> Vectors:
        """Return the product with a matrix, in this thread: a busy machine is slow to start others."""
        return np.asarray(np.einsum("tk,kn->tn", rows, self._weights[name]), np.float32)


def _dequantize(tensors: Tensors, name: str) -> Vectors:
    """Return a tensor in float32, a matrix as (inputs, outputs)."""
    values = tensors[name]
    if not name.endswith("_q"):
        return values.astype(np.float32)
    scale, zero = tensors[f"{name[:-2]}_s"], tensors[f"{name[:-2]}_z"]  # of each output
    matrix = np.ascontiguousarray(values.T if name.endswith("weight_q") else values)
    return (matrix * scale if not zero.any() else (matrix - zero.astype(np.float32)) * scale).astype(
        np.float32
    )


def _windows(rows: Vectors, width: int) -> Vectors:
    """Return the windows of `width` rows around each row, concatenated, with zeros beyond the ends."""
    before = (width - 1) // 2
    padded = np.zeros((len(rows) + width - 1, rows.shape[1]), np.float32)
    padded[before : before + len(rows)] = rows
    return np.concatenate([padded[at : at + len(rows)] for at in range(width)], axis=1)


def _normalize(rows: Vectors, gain: Vectors, bias: Vectors) -> Vectors:
    """Return the rows with mean 0 and variance 1, times `gain`, plus `bias`."""
    centered = rows - rows.mean(axis=1, keepdims=True)
    variance = (centered * centered).mean(axis=1, keepdims=True)
    return np.asarray(centered / np.sqrt(variance + EPSILON) * gain + bias, np.float32)


def _unit(rows: Vectors) -> Vectors:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def _relu(values: Vectors) -> Vectors:
    return np.maximum(values, 0)


def read_tensors(file: Path) -> Tensors:
    """Return the initializers of an ONNX model, as views of the mapped file."""
    with file.open("rb") as opened:
        data = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    graph = next(value for field, value in _fields(data) if field == MODEL_GRAPH)
    return dict(_tensor(value) for field, value in _fields(graph) if field == GRAPH_TENSOR)


def _tensor(message: memoryview) -> tuple[str, NDArray[Any]]:
    """Return the name and the values of a tensor with raw data."""
    fields = list(_fields(message))
    known = dict(fields)
    values = np.frombuffer(known[TENSOR_DATA], DTYPES[known[TENSOR_TYPE]])
    return str(known[TENSOR_NAME], "utf-8"), values.reshape([v for f, v in fields if f == TENSOR_DIMS])


def _fields(message: memoryview) -> Iterator[Field]:
    """Yield the fields of a message of Protocol Buffers; those of fixed size are skipped."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        field, wire_type = key >> 3, key & 7
        if wire_type == BYTES:
            size, at = _varint(message, at)
            yield field, message[at : at + size]
            at += size
        elif wire_type == VARINT:
            value, at = _varint(message, at)
            yield field, value
        else:
            at += 8 if wire_type == FIXED_64 else 4


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at a position, and the position after it."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
