"""Tests of the choice of a precision for a model."""

import pytest

from indexer.models.precision import choose_precision
from retrieval.cli.models import describe_models
from retrieval.embedders import model_list
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


def test_exported_tower_is_chosen_and_bfloat16_for_long_runs_if_the_cpu_multiplies_it_fast(choose):
    rates = {"float32": 10.0, "bfloat16": 40.0, "onnx float32": 9.0, "int8": 20.0}
    choice = choose(rates, is_bfloat16_fast=True)
    assert (choice.device, choice.precision, choice.torch_precision) == ("cpu", "int8", "bfloat16")
    assert choice.rates == rates
    assert choice.cosine >= 0.99


@pytest.mark.parametrize(("rate", "expected"), [(11.9, "onnx float32"), (12.1, "int8")])
def test_fastest_exported_tower_is_chosen_on_other_cpus(choose, rate, expected):
    rates = {"float32": 14.0, "onnx float32": 12.0, "int8": rate}
    choice = choose(rates, is_bfloat16_fast=False)
    assert (choice.precision, choice.torch_precision) == (expected, "float32")


def test_models_show_their_rate_on_this_machine(embedder_of, monkeypatch):
    embedder = embedder_of("small-vit")
    choice = embedder.prepared.choice("auto")
    monkeypatch.setattr(model_list, "prepared_models", lambda: [embedder.prepared])
    card = next(card for card in model_list.model_cards() if card.name == embedder.prepared.manifest.name)
    assert card.images_per_second == choice.rates[choice.precision] > 0
    assert f"{card.images_per_second:,.0f}" in describe_models([card])
