"""Tests of embedding drafts."""

import numpy as np

from indexer.decode.base import SegmentDraft
from indexer.embed.batches import embed_drafts
from tests.support.toy_embedder import ListsTexts, ToyEmbedder


class ListingEmbedder(ListsTexts, ToyEmbedder):
    """The toy embedder, which lists the texts that it embeds."""


def test_equal_texts_of_a_batch_are_embedded_once_and_keep_their_order():
    embedder = ListingEmbedder()
    texts = ["red", "blue", "red", "green", "blue", "red"]
    vectors = embed_drafts(embedder, [SegmentDraft("text", text=text) for text in texts])
    assert embedder.embedded == ["red", "blue", "green"]
    np.testing.assert_array_equal(vectors, ToyEmbedder().embed_texts(texts))
