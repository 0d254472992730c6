"""Tests of the export of tokenizers."""

import numpy as np
from open_clip.tokenizer import HFTokenizer

from retrieval.embedders.tokenizer import ModelTokenizer
from tests.support.model_checkpoints import (
    make_tokenizer,
)


def test_clips_mode_reads_the_class_token_in_the_last_column(tmp_path):
    """As the CLIPS models want it: open_clip's tokenizer_mode `clips`."""
    from indexer.models.tokenizer_export import _write_hf

    make_tokenizer(tmp_path, lower=False)
    theirs = HFTokenizer(str(tmp_path), context_length=16, tokenizer_mode="clips")
    theirs.tokenizer.cls_token = "<unk>"
    frame = _write_hf(theirs, 16, tmp_path / "mine.json")
    mine = ModelTokenizer(tmp_path / "mine.json", frame)
    texts = ["a photo", "the quick brown fox " * 9]
    np.testing.assert_array_equal(mine.encode(texts)[0], theirs(texts).numpy())
    assert (mine.knows("a photo Ω"), mine.knows("Ω")) == (True, False)
