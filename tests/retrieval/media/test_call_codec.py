"""Values of sandboxed calls are the same after the way through a subprocess, and bytes run no code."""

import json
import math
import pickle
from array import array
from datetime import datetime
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from indexer.decode.base import SegmentDraft
from indexer.decode.context import all_pixels
from indexer.decode.images.decoder import ImageOutput
from retrieval.embedders.preprocessing import Preprocessing
from retrieval.errors import ExtraMissing, MediaError
from retrieval.media.call_codec import LENGTH, decode, encode, encode_error
from retrieval.media.limits import DecodeLimits
from retrieval.media.picture import SoundOnly

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.binary(max_size=9)
SCALARS |= st.text(st.characters(), max_size=9) | st.fractions()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(SCALARS, inner, max_size=4)
    ),
    max_leaves=12,
)


def message(value) -> bytes:
    text = json.dumps(value).encode()
    return LENGTH.pack(len(text)) + text


@given(VALUES)
def test_value_is_the_same_after_decoding(value):
    decoded = decode(encode(value))
    assert decoded == value
    assert type(decoded) is type(value)


def test_numbers_without_json_are_the_same():
    infinite, nan, half = decode(bytearray(encode((math.inf, math.nan, np.float16(0.5)))))
    assert (infinite, math.isnan(nan), half, type(half)) == (math.inf, True, 0.5, np.float16)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64", "bool"])
def test_array_is_the_same_and_writable(shape, dtype):
    values = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    decoded = decode(bytearray(encode(values)))
    np.testing.assert_array_equal(decoded, values, strict=True)
    assert decoded.flags.writeable
    np.testing.assert_array_equal(decode(encode(values.T)), values.T, strict=True)


def test_records_images_and_functions_are_the_same():
    draft = SegmentDraft("image", np.ones((2, 2, 3), np.uint8), box=(1, 2, 3, 4), thumbnail=b"webp")
    decoded = decode(encode(draft))
    assert (decoded.box, decoded.thumbnail, decoded.pixels.sum()) == (draft.box, draft.thumbnail, 12)
    assert decode(encode(DecodeLimits(max_pages=3))) == DecodeLimits(max_pages=3)
    assert decode(encode(ImageOutput(3, all_pixels, True))) == ImageOutput(3, all_pixels, True)
    image = Image.new("RGBA", (3, 2), (1, 2, 3, 4))
    assert decode(encode(image)).tobytes() == image.tobytes()
    assert decode(encode(array("q", [1, -(2**62)]))) == array("q", [1, -(2**62)])
    fraction = decode(encode({Fraction(1, 3): {1, 2}}))
    assert fraction == {Fraction(1, 3): {1, 2}}


@pytest.mark.parametrize(
    "error",
    [MediaError("damaged"), SoundOnly("x"), OSError(5, "no disk"), KeyError("a"), ExtraMissing("X", "x")],
)
def test_error_is_the_same(error):
    decoded = decode(encode_error(error))
    assert (type(decoded), str(decoded)) == (type(error), str(error))


class OwnError(ValueError):
    """An error of another package."""


class OwnBase(Exception):
    """An error of another package without a known base."""


def test_error_of_another_package_becomes_one_that_is_known():
    decoded = decode(encode_error(OwnError("too dark")))
    assert (type(decoded), str(decoded)) == (ValueError, "too dark")
    decoded = decode(encode_error(OwnBase("too dark")))
    assert (type(decoded), str(decoded)) == (RuntimeError, "OwnBase: too dark")


@pytest.mark.parametrize("value", [datetime(2020, 1, 1), object(), np.array([object()]), OwnError, print])
def test_value_of_another_type_is_not_sent(value):
    with pytest.raises(TypeError, match="cannot send"):
        encode(value)


@pytest.mark.parametrize(
    "value",
    [
        {"record": ["os:system", "true"]},
        {"record": ["builtins:eval", "1"]},
        {"record": ["retrieval.media.sandbox:subprocess.Popen", "true"]},
        {"record": ["retrieval.media.sandbox:SandboxedProcess", None]},
        {"error": ["builtins:exec", "1"]},
        {"error": ["builtins:SystemExit", 1]},
        {"error": ["retrieval.media.sandbox:Path", "x"]},
        {"function": "builtins:print"},
        {"function": "subprocess:run"},
        {"array": ["|O", [1], [0, 0]]},
        {"bytes": [0, 5]},
        {"bytes": [-1, 0]},
        {"unknown": 1},
    ],
)
def test_bytes_that_name_other_code_are_refused(value):
    with pytest.raises((ValueError, TypeError)):
        decode(message(value))


def test_pickle_is_refused(tmp_path):
    with pytest.raises(Exception):  # noqa: B017
        decode(pickle.dumps(tmp_path))


def test_method_of_a_record_is_the_same():
    record = Preprocessing((8, 8), "squash", "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    image = Image.new("RGB", (16, 12), (1, 2, 3))
    np.testing.assert_array_equal(decode(encode(record.apply))(image), record.apply(image))
