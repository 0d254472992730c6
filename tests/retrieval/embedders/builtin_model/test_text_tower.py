"""The text tower in numpy returns the vectors that onnxruntime returns for the same file."""

import numpy as np
import onnxruntime
import pytest

from retrieval.embedders.builtin import MODEL_FOLDER, BuiltinEmbedder
from retrieval.embedders.builtin_model.text_tower import MappedTextTower, read_tensors

FILE = MODEL_FOLDER / "text.onnx"


@pytest.fixture(scope="module")
def session():
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(FILE), options, providers=["CPUExecutionProvider"])


def test_vectors_are_those_of_the_model_without_optimizations(session):
    tower, draw = MappedTextTower(FILE), np.random.default_rng(0)
    for length in (1, 2, 3, 5, 10, 30, 62):
        ids = draw.integers(4, 105_730, length)
        ids[1::4] = 0  # unknown tokens between the others
        ids = np.concatenate([[1], ids, [2]])
        expected = session.run(None, {"ids": ids[None]})[0][0]
        np.testing.assert_allclose(tower.embed(ids.tolist()), expected, atol=2e-6)


def test_batch_has_the_vectors_of_single_texts():
    texts = ["a dog", "zwei Männer sprechen über 🙂 einen Zaun", "雪の中の犬", "word " * 100, "x", "собака"]
    batches, single = BuiltinEmbedder(), BuiltinEmbedder()
    batches._batched_count = 1_000
    vectors = batches.embed_texts(texts)
    assert "_text_session" in vars(batches) and "_text_tower" not in vars(batches)
    for text, vector in zip(texts, vectors, strict=True):
        np.testing.assert_allclose(single.embed_texts([text])[0], vector, atol=2e-6)
    assert "_text_session" not in vars(single)


def test_tensors_are_those_of_the_onnx_library():
    onnx = pytest.importorskip("onnx")
    expected = {
        tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(FILE).graph.initializer
    }
    tensors = read_tensors(FILE)
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, expected[name])
