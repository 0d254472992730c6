"""Encode arguments, results and errors of sandboxed calls as JSON and bytes, without pickle.

Decoding runs no code that the bytes choose: it builds numbers, texts, containers, arrays, images, the records
of clew and errors. A decoder that a file has taken over can thus send wrong values only.
"""

import builtins
import json
import struct
import sys
from array import array as number_array
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from fractions import Fraction
from importlib import import_module
from types import FunctionType, MethodType
from typing import Any

import numpy as np

PACKAGES = ("retrieval.", "indexer.")  # whose records, errors and functions are named
LENGTH = struct.Struct("!Q")  # of the JSON in bytes
UNNAMED_ERRORS = (Exception, BaseException)  # replaced by a RuntimeError with the name of the error


def encode(value: Any) -> bytes:
    """Return a value as bytes; raises TypeError if it has a type that cannot be sent."""
    encoder = _Encoder()
    text = json.dumps(encoder.encode(value)).encode()
    return b"".join([LENGTH.pack(len(text)), text, *encoder.buffers])


def decode(data: bytes | bytearray) -> Any:
    """Return the value of bytes; its arrays share their memory. Raises ValueError if they are damaged."""
    view = memoryview(data)
    (length,) = LENGTH.unpack(view[: LENGTH.size])
    end = LENGTH.size + length
    return _Decoder(view[end:]).decode(json.loads(bytes(view[LENGTH.size : end])))


def encode_error(error: Exception) -> bytes:
    """Return an error, or one of its built-in base class, or a RuntimeError with its name, as bytes."""
    for kind in type(error).__mro__:
        if kind in UNNAMED_ERRORS:
            break
        try:
            data = encode(error if kind is type(error) else kind(*error.args))
            decode(data)
        except Exception:
            continue
        return data
    return encode(RuntimeError(f"{type(error).__name__}: {error}"))


class _Encoder:
    """Encodes values; the bytes of arrays, images and byte strings are appended to `buffers`."""

    def __init__(self) -> None:
        self.buffers: list[bytes | memoryview] = []
        self._size = 0

    def encode(self, value: Any) -> Any:
        """Return a value of JSON: lists stay lists, and all other types are objects with one key."""
        if value is None or type(value) in (bool, int, float, str):
            return value
        if type(value) is list:
            return [self.encode(item) for item in value]
        image_module = sys.modules.get("PIL.Image")
        if image_module is not None and isinstance(value, image_module.Image):
            return {"image": [value.mode, *value.size, self._place(value.tobytes())]}
        for kind, encode_kind in _ENCODERS.items():
            if isinstance(value, kind):
                return encode_kind(self, value)
        if is_dataclass(value):
            values = [self.encode(getattr(value, field.name)) for field in fields(value) if field.init]
            return {"record": [_name(type(value)), *values]}
        raise TypeError(f"cannot send {type(value).__name__}")

    def array(self, value: Any) -> dict[str, Any]:
        array = np.ascontiguousarray(value)
        if array.dtype.hasobject:
            raise TypeError("cannot send an array of objects")
        place = self._place(array.reshape(-1).view(np.uint8).data if array.size else b"")
        return {"array": [array.dtype.str, list(np.shape(value)), place]}

    def bytes(self, value: Any) -> dict[str, Any]:
        return {"bytes": self._place(bytes(value))}

    def tuple(self, value: Any) -> dict[str, Any]:
        items = [self.encode(item) for item in value]
        return {"record": [_name(type(value)), *items]} if hasattr(value, "_fields") else {"tuple": items}

    def error(self, value: Any) -> dict[str, Any]:
        arguments = value.__reduce__()[1]
        return {"error": [_name(type(value)), *map(self.encode, arguments)]}

    def method(self, value: Any) -> dict[str, Any]:
        return {"method": [self.encode(value.__self__), value.__name__]}

    def _place(self, data: "builtins.bytes | memoryview") -> list[int]:
        """Append bytes to the buffers; return their start and length."""
        start = self._size
        self.buffers.append(data)
        self._size += len(data)
        return [start, len(data)]


_ENCODERS: dict[Any, Callable[[_Encoder, Any], Any]] = {
    (bytes, bytearray, memoryview): _Encoder.bytes,
    np.ndarray: _Encoder.array,
    np.generic: lambda encoder, value: {"scalar": encoder.array(value)},
    number_array: lambda encoder, value: {"numbers": [value.typecode, encoder._place(value.tobytes())]},
    tuple: _Encoder.tuple,
    (set, frozenset): lambda encoder, value: {type(value).__name__: [encoder.encode(item) for item in value]},
    dict: lambda encoder, value: {"dict": [[encoder.encode(k), encoder.encode(v)] for k, v in value.items()]},
    Fraction: lambda encoder, value: {"fraction": [value.numerator, value.denominator]},
    BaseException: _Encoder.error,
    FunctionType: lambda encoder, value: {"function": _name(value)},
    MethodType: _Encoder.method,
}


class _Decoder:
    """Decodes values whose bytes are in one buffer."""

    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer

    def decode(self, value: Any) -> Any:
        """Return the value of a value of JSON; raises ValueError."""
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        if kind not in _DECODERS:
            raise ValueError(f"unknown type {kind}")
        return _DECODERS[kind](self, content)

    def decode_all(self, values: Sequence[Any]) -> list[Any]:
        return [self.decode(item) for item in values]

    def at(self, place: Sequence[int]) -> memoryview:
        """Return the bytes at a place."""
        start, length = place
        part = self._buffer[start : start + length]
        if start < 0 or len(part) != length:
            raise ValueError("bytes are missing")
        return part

    def array(self, content: Any) -> Any:
        dtype, shape, place = content
        kind = np.dtype(dtype)
        if kind.hasobject:
            raise ValueError("array of objects")
        return np.frombuffer(self.at(place), np.uint8).view(kind).reshape(shape)

    def image(self, content: Any) -> Any:
        from PIL import Image

        mode, width, height, place = content
        return Image.frombytes(mode, (width, height), bytes(self.at(place)))

    def record(self, content: Any) -> Any:
        name, *values = content
        kind = _find(name)
        is_record = isinstance(kind, type) and (is_dataclass(kind) or hasattr(kind, "_fields"))
        if not (is_record and kind.__module__.startswith(PACKAGES)):
            raise ValueError(f"{name} is not a record")
        return kind(*self.decode_all(values))

    def error(self, content: Any) -> Any:
        name, *arguments = content
        kind = _find(name)
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise ValueError(f"{name} is not an error")
        return kind(*self.decode_all(arguments))

    def function(self, name: str) -> Any:
        function = _find(name)
        if not isinstance(function, FunctionType):
            raise ValueError(f"{name} is not a function")
        return function

    def method(self, content: Any) -> Any:
        owner, name = content
        return getattr(self.record(owner["record"]), name)


_DECODERS: dict[str, Callable[[_Decoder, Any], Any]] = {
    "array": _Decoder.array,
    "bytes": lambda decoder, place: bytes(decoder.at(place)),
    "dict": lambda decoder, pairs: {decoder.decode(k): decoder.decode(v) for k, v in pairs},
    "error": _Decoder.error,
    "fraction": lambda decoder, parts: Fraction(*parts),
    "frozenset": lambda decoder, items: frozenset(decoder.decode_all(items)),
    "function": _Decoder.function,
    "image": _Decoder.image,
    "method": _Decoder.method,
    "numbers": lambda decoder, content: number_array(content[0], bytes(decoder.at(content[1]))),
    "record": _Decoder.record,
    "scalar": lambda decoder, array: decoder.decode(array)[()],
    "set": lambda decoder, items: set(decoder.decode_all(items)),
    "tuple": lambda decoder, items: tuple(decoder.decode_all(items)),
}


def _name(named: Any) -> str:
    """Return "module:name" of a class or function of clew, or of a built-in error; raises TypeError."""
    name = f"{named.__module__}:{named.__qualname__}"
    try:
        found = _find(name)
    except (ValueError, ImportError, AttributeError) as error:
        raise TypeError(f"cannot send {name}") from error
    if found is not named:
        raise TypeError(f"cannot send {name}")
    return name


def _find(name: str) -> Any:
    """Return what `_name` has named; raises ValueError, ImportError and AttributeError."""
    module, _, attribute = name.partition(":")
    if not attribute.isidentifier() or not (module == "builtins" or module.startswith(PACKAGES)):
        raise ValueError(f"{name} is not part of clew")
    return getattr(import_module(module), attribute)
