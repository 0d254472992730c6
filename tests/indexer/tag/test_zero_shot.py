"""Zero-shot classification with the toy embedder, whose vectors a person can work out."""

import numpy as np
import pytest

from indexer.tag.zero_shot import DEFAULT_LOGIT_SCALE, PROMPTS, classify, fuse, label_vectors, logit_scale
from retrieval.embedders.registry import load_embedder
from retrieval.errors import QueryError


def test_a_label_is_the_mean_direction_of_its_prompts(toy):
    found = label_vectors(toy, ["red", "blue"], ["{}", "a {}"])
    red, a_red = toy.embed_texts(["red", "a red"])
    np.testing.assert_allclose(found[0], (red + a_red) / np.linalg.norm(red + a_red), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert found.shape == (2, 3)


def test_every_prompt_says_the_label_and_none_twice():
    assert all(prompt.count("{}") == 1 for prompt in PROMPTS)
    assert len(set(PROMPTS)) == len(PROMPTS) >= 10


def test_a_label_of_braces_is_taken_as_it_is(toy):
    found = label_vectors(toy, ["red {0}"], ["{}"])
    np.testing.assert_allclose(found, toy.embed_texts(["red {0}"]), atol=1e-6)


def test_a_label_without_a_word_is_refused(toy):
    with pytest.raises(QueryError, match="' ' has no word"):
        label_vectors(toy, ["red", " "])


def test_probabilities_are_a_softmax_of_scaled_cosines():
    likely = classify(np.eye(2, dtype=np.float32), np.array([[1, 0], [0.6, 0.8]], np.float32), 10)
    np.testing.assert_allclose(likely[:, 0], [1 / (1 + np.exp(-4)), 1 / (1 + np.exp(8))], atol=1e-6)
    np.testing.assert_allclose(likely.sum(axis=1), 1)


def test_no_scale_is_too_large():
    assert classify(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), 1e6).tolist() == [
        [1, 0],
        [0, 1],
    ]


def test_fusing_weighs_pictures_and_texts():
    pictures, texts = np.array([[0.9, 0.1]]), np.array([[0.2, 0.8]])
    np.testing.assert_allclose(fuse(pictures, texts, 0.25), [[0.375, 0.625]])
    np.testing.assert_array_equal(fuse(pictures, texts, 1), pictures)
    np.testing.assert_array_equal(fuse(pictures, texts, 0), texts)


def test_the_built_in_model_has_the_scale_of_those_that_say_none():
    assert logit_scale(load_embedder("builtin")) == DEFAULT_LOGIT_SCALE
