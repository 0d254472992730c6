"""Tests of tokenizers, against those of open_clip."""

import unicodedata

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer

from indexer.models.checkpoint import TOKENIZER_PROBES
from indexer.models.tokenizer_export import export_tokenizer
from retrieval.embedders.model_cache import TOKENIZER_FILE
from retrieval.embedders.tokenizer import ModelTokenizer, clean_text


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_tokens_match_open_clip(clip_tokenizers, text):
    mine, theirs = clip_tokenizers
    # Of code points that Unicode has not assigned, two libraries of regular expressions think differently.
    cleaned = clean_text(text, "lower")
    assume("Cn" not in {unicodedata.category(char) for char in cleaned})
    assume("\u0345" not in cleaned)  # a mark that is a letter to one that passes over case
    expected = theirs([text])[0].numpy()
    assert mine.knows(text) == (mine.count_tokens(text) > 0)  # its tokens are bytes
    if mine.count_tokens(text):
        np.testing.assert_array_equal(mine.encode([text])[0][0], expected)
    else:
        assert (expected[2:] == 0).all()


@pytest.fixture(scope="module")
def clip_tokenizers(tmp_path_factory):
    file, theirs = tmp_path_factory.mktemp("tokenizer") / TOKENIZER_FILE, SimpleTokenizer(context_length=77)
    ids = np.asarray(theirs(list(TOKENIZER_PROBES)), np.int64)
    return ModelTokenizer(file, export_tokenizer(theirs, ids, file)), theirs


def test_long_text_is_truncated_as_by_open_clip(clip_tokenizers):
    mine, theirs = clip_tokenizers
    long = " ".join(f"word{n}" for n in range(90))
    np.testing.assert_array_equal(mine.encode([long])[0], theirs([long]).numpy())
    assert mine.count_tokens(long) > 90
