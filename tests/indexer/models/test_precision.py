"""The fastest precision is chosen among the accurate ones."""

from math import inf, isnan, nan
from time import sleep

import numpy as np
import pytest

from indexer.models.precision import BENCHMARK_ROUNDS, fastest_accurate, measure_rates, min_cosines
from indexer.models.precision_candidates import PrecisionCandidate

UNIT = np.array([[1, 0], [0, 1]], np.float32)
IMAGES = [np.zeros((1, 1, 3), np.uint8)] * 2
ACCURATE = {"float32": 1.0, "onnx float32": 1.0, "bfloat16": 0.9995, "int8": 0.995}


def returns(images, texts=None):
    """Return a candidate with constant vectors."""
    return PrecisionCandidate(lambda pixels: images, None if texts is None else lambda: texts)


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({"float32": 10.0, "bfloat16": 40.0}, ("bfloat16", None)),
        ({"float32": 10.0, "bfloat16": 9.9}, ("float32", None)),
        ({"float32": 14.0, "onnx float32": 12.0, "int8": 11.9}, ("float32", "onnx float32")),
        ({"float32": 14.0, "onnx float32": 12.0, "int8": 12.1}, ("float32", "int8")),
        ({"float32": 10.0, "onnx float32": 9.0, "int8": 9.1}, ("float32", "int8")),
        ({"float32": 10.0, "bfloat16": 40.0, "onnx float32": 9.0, "int8": 30.0}, ("bfloat16", "int8")),
    ],
)
def test_fastest_precisions_on_torch_and_exported_are_chosen(rates, expected):
    assert fastest_accurate(rates, ACCURATE) == expected


@pytest.mark.parametrize("cosine", [0.9989, nan])
def test_inaccurate_precision_is_not_chosen(cosine):
    rates = {"float32": 10.0, "bfloat16": 40.0}
    assert fastest_accurate(rates, {"float32": 1.0, "bfloat16": cosine}) == ("float32", None)


@pytest.mark.parametrize("cosine", [0.9899, nan])
def test_inaccurate_exported_tower_is_not_chosen(cosine):
    rates = {"float32": 10.0, "onnx float32": 9.0, "int8": 40.0}
    cosines = {"float32": 1.0, "onnx float32": 1.0, "int8": cosine}
    assert fastest_accurate(rates, cosines) == ("float32", "onnx float32")


def test_cosine_is_the_smallest_of_images_and_texts():
    rotated = np.array([[0.6, 0.8], [0, 1]], np.float32)
    candidates = {
        "float32": returns(UNIT, UNIT),
        "bfloat16": returns(UNIT, rotated),
        "int8": returns(rotated),
    }
    assert min_cosines(candidates, IMAGES) == pytest.approx({"float32": 1, "bfloat16": 0.6, "int8": 0.6})


@pytest.mark.parametrize("value", [nan, inf])
def test_cosine_of_invalid_vectors_is_nan(value):
    invalid = np.array([[1, 0], [value, 1]], np.float32)
    candidates = {
        "float32": returns(UNIT, UNIT),
        "bfloat16": returns(invalid, UNIT),
        "float16": returns(UNIT, invalid),
    }
    cosines = min_cosines(candidates, IMAGES)
    assert [isnan(cosines[name]) for name in candidates] == [False, True, True]


def test_much_slower_candidate_is_measured_once():
    calls = []

    def slow(pixels):
        calls.append("slow")
        sleep(0.05)
        return UNIT

    def fast(pixels):
        calls.append("fast")
        return UNIT

    rates = measure_rates({"float32": PrecisionCandidate(slow), "int8": PrecisionCandidate(fast)}, IMAGES)
    assert (calls.count("slow"), calls.count("fast")) == (1, BENCHMARK_ROUNDS)
    assert rates["float32"] < rates["int8"]
