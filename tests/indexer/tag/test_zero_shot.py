"""Tests of zero-shot classification against vectors calculated by hand."""

import numpy as np
import pytest

from indexer.tag.zero_shot import DEFAULT_LOGIT_SCALE, PROMPTS, classify, fuse, label_vectors, logit_scale
from retrieval.embedders.registry import load_embedder
from retrieval.errors import QueryError


def test_label_vector_is_the_normalized_mean_of_its_prompts(toy):
    vectors = label_vectors(toy, ["red", "blue"], ["{}", "a {}"])
    red, a_red = toy.embed_texts(["red", "a red"])
    np.testing.assert_allclose(vectors[0], (red + a_red) / np.linalg.norm(red + a_red), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert vectors.shape == (2, 3)


def test_prompts_are_unique_and_contain_one_placeholder():
    assert all(prompt.count("{}") == 1 for prompt in PROMPTS)
    assert len(set(PROMPTS)) == len(PROMPTS) >= 10


def test_label_with_braces_is_not_formatted(toy):
    vectors = label_vectors(toy, ["red {0}"], ["{}"])
    np.testing.assert_allclose(vectors, toy.embed_texts(["red {0}"]), atol=1e-6)


def test_label_without_known_words_is_rejected(toy):
    with pytest.raises(QueryError, match="' ' has no word"):
        label_vectors(toy, ["red", " "])


def test_probabilities_are_a_softmax_of_scaled_cosines():
    probabilities = classify(np.eye(2, dtype=np.float32), np.array([[1, 0], [0.6, 0.8]], np.float32), 10)
    np.testing.assert_allclose(probabilities[:, 0], [1 / (1 + np.exp(-4)), 1 / (1 + np.exp(8))], atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_classify_does_not_overflow_for_a_large_scale():
    assert classify(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), 1e6).tolist() == [
        [1, 0],
        [0, 1],
    ]


def test_fuse_weights_image_and_text_probabilities():
    images, texts = np.array([[0.9, 0.1]]), np.array([[0.2, 0.8]])
    np.testing.assert_allclose(fuse(images, texts, 0.25), [[0.375, 0.625]])
    np.testing.assert_array_equal(fuse(images, texts, 1), images)
    np.testing.assert_array_equal(fuse(images, texts, 0), texts)


def test_builtin_model_has_the_default_logit_scale():
    assert logit_scale(load_embedder("builtin")) == DEFAULT_LOGIT_SCALE
