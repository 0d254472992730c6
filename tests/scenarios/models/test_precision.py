"""Tests of the choice of a precision for a model."""

import pytest

from indexer.models.precision import choose_precision
from retrieval.embedders.torch_towers import load_model


@pytest.fixture
def choose(embedder_of, tmp_path):
    """Return a function that chooses the precision of a small model from rates, on the CPU."""
    prepared = embedder_of("small-vit").prepared
    model = load_model(prepared.folder)

    def choose_from(rates, *, is_bfloat16_fast):
        def benchmark(candidates, images):
            assert candidates.keys() == rates.keys()
            return rates

        return choose_precision(
            prepared,
            model,
            "cpu",
            tmp_path,
            is_bfloat16_fast=lambda: is_bfloat16_fast,
            benchmark=benchmark,
        )

    return choose_from


def test_bfloat16_is_chosen_if_the_cpu_multiplies_it_fast(choose):
    rates = {"float32": 10.0, "bfloat16": 40.0}
    choice = choose(rates, is_bfloat16_fast=True)
    assert (choice.device, choice.precision, choice.rates) == ("cpu", "bfloat16", rates)
    assert choice.cosine >= 0.999


@pytest.mark.parametrize(("rate", "expected"), [(14.9, "float32"), (15.1, "int8")])
def test_exported_tower_is_chosen_on_other_cpus_if_it_is_much_faster(choose, rate, expected):
    rates = {"float32": 10.0, "onnx float32": 12.0, "int8": rate}
    assert choose(rates, is_bfloat16_fast=False).precision == expected
