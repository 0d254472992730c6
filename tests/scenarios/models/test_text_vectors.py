"""Tests of the vectors of texts that are kept with a model."""

import numpy as np
import pytest

from indexer import update_library
from indexer.models.text_vectors import embed_constant_texts
from retrieval.embedders.builtin import BuiltinEmbedder
from retrieval.embedders.model_cache import model_folder
from retrieval.embedders.open_clip import OpenClipEmbedder
from tests.support.toy_embedder import ListsTexts

WORDS = ["a dog", "two red cars", "snow"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Use an empty cache of models for each test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Spy(ListsTexts, BuiltinEmbedder):
    """The built-in model, which lists the texts that it embeds."""


def test_background_queries_are_embedded_once_for_all_libraries(folder, place, tmp_path):
    first, second = Spy(), Spy()
    update_library([folder], library=place, embedder=first)
    update_library([folder], library=tmp_path / "another", embedder=second)
    assert len(first.embedded) > 100
    assert second.embedded == []


def test_vectors_of_other_texts_are_not_used():
    spy = Spy()
    vectors = embed_constant_texts(spy, WORDS)
    np.testing.assert_array_equal(embed_constant_texts(spy, WORDS[::-1]), vectors[::-1])
    np.testing.assert_array_equal(embed_constant_texts(spy, WORDS), vectors)
    assert spy.embedded == [*WORDS, *WORDS[::-1]]


@pytest.mark.parametrize("damage", [b"", b"text", None])
def test_damaged_vectors_are_embedded_again(damage):
    spy = Spy()
    vectors = embed_constant_texts(spy, WORDS)
    (file,) = model_folder(spy.fingerprint).glob("texts-*.npy")
    if damage is None:
        np.save(file, np.full_like(vectors, np.nan))
    else:
        file.write_bytes(damage)
    np.testing.assert_array_equal(embed_constant_texts(spy, WORDS), vectors)
    assert spy.embedded == WORDS * 2
    assert [*file.parent.iterdir()] == [file]


def test_text_vectors_of_an_open_clip_model_are_kept(own_cache, embedder_of):
    embedder = embedder_of("small-vit")
    vectors = embed_constant_texts(embedder, WORDS)
    again = OpenClipEmbedder(embedder.prepared)
    np.testing.assert_array_equal(embed_constant_texts(again, WORDS), vectors)
    assert len([*embedder.prepared.folder.glob("texts-*.npy")]) == 1
