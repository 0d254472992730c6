"""Tests of the choice of a precision."""

from indexer.models import precision
from indexer.models.precision import MIN_COSINE
from retrieval.embedders.torch_towers import load_model


def test_fastest_accurate_precision_is_chosen(embedder_of, monkeypatch, tmp_path):
    embedder = embedder_of("small-vit")
    model = load_model(embedder.prepared.folder)
    monkeypatch.setattr(precision, "bfloat16_is_fast", lambda: True)
    rates = {"float32": 10.0, "bfloat16": 40.0}
    monkeypatch.setattr(precision, "_benchmark", lambda ways, pixels: rates)
    chosen = precision.choose_precision(embedder.prepared, model, "cpu", tmp_path)
    assert (chosen.precision, chosen.rates) == ("bfloat16", rates)
    monkeypatch.setitem(MIN_COSINE, "bfloat16", 1.1)
    assert precision.choose_precision(embedder.prepared, model, "cpu", tmp_path).precision == "float32"
    monkeypatch.setattr(precision, "bfloat16_is_fast", lambda: False)
    for rate, expected in ((14.9, "float32"), (15.1, "int8")):
        rates = {"float32": 10.0, "onnx float32": 12.0, "int8": rate}
        monkeypatch.setattr(precision, "_benchmark", lambda ways, pixels, rates=rates: rates)
        assert precision.choose_precision(embedder.prepared, model, "cpu", tmp_path).precision == expected
