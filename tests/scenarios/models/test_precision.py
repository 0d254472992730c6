"""Tests of the choice of a precision for a model."""

from indexer.models.precision import choose_precision
from retrieval.cli.models import describe_models
from retrieval.embedders import model_list
from retrieval.embedders.torch_towers import load_model


def test_exported_tower_is_chosen_and_bfloat16_for_long_runs_if_the_cpu_multiplies_it_fast(
    embedder_of, tmp_path
):
    rates = {"float32": 10.0, "bfloat16": 40.0, "onnx float32": 9.0, "int8": 20.0}

    def benchmark(candidates, images):
        assert candidates.keys() == rates.keys()
        return rates

    prepared = embedder_of("small-vit").prepared
    choice = choose_precision(
        prepared,
        load_model(prepared.folder),
        "cpu",
        tmp_path,
        is_bfloat16_fast=lambda: True,
        benchmark=benchmark,
    )
    assert (choice.device, choice.precision, choice.torch_precision) == ("cpu", "int8", "bfloat16")
    assert choice.rates == rates
    assert choice.cosine >= 0.99


def test_models_show_their_rate_on_this_machine(embedder_of, monkeypatch):
    embedder = embedder_of("small-vit")
    choice = embedder.prepared.choice("auto")
    monkeypatch.setattr(model_list, "prepared_models", lambda: [embedder.prepared])
    card = next(card for card in model_list.model_cards() if card.name == embedder.prepared.manifest.name)
    assert card.images_per_second == choice.rates[choice.precision] > 0
    assert f"{card.images_per_second:,.0f}" in describe_models([card])
