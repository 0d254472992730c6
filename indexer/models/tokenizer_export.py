"""open_clip's tokenizers, as files that run without torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.models.checkpoint import TOKENIZER_PROBES
from retrieval.embedders.tokenizer import ModelTokenizer, TokenTemplate
from retrieval.errors import EmbedderError

if TYPE_CHECKING:
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer


def tokenizer_signature(tokenizer: "SimpleTokenizer | HFTokenizer", ids: Any) -> bytes:
    """Return what tells tokenizers apart: their vocabulary, and the ids of PROBES."""
    inner = getattr(tokenizer, "tokenizer", None)
    words: dict[str, int] = tokenizer.encoder if inner is None else inner.get_vocab()
    return repr(sorted(words.items())).encode() + bytes(ids.tobytes())


def export_tokenizer(tokenizer: "SimpleTokenizer | HFTokenizer", ids: Any, file: Path) -> TokenTemplate:
    """Write open_clip's tokenizer as a file of `tokenizers`, and hold it to open_clip's ids of PROBES.

    Raises EmbedderError.
    """
    from open_clip.tokenizer import SimpleTokenizer

    length, draft = tokenizer.context_length, file.with_suffix(".draft")
    if isinstance(tokenizer, SimpleTokenizer):
        frame = _write_simple(tokenizer, length, draft)
    else:
        frame = _write_hf(tokenizer, length, draft)
    if not np.array_equal(ModelTokenizer(draft, frame).encode(TOKENIZER_PROBES)[0], ids):
        raise EmbedderError(
            "Its tokenizer cannot be run without torch as open_clip runs it; please report this model."
        )
    draft.replace(file)
    return frame


def _write_simple(tokenizer: "SimpleTokenizer", length: int, file: Path) -> TokenTemplate:
    """Write CLIP's own byte-pair encoding."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    if tokenizer.reduction_fn is not None:
        raise EmbedderError("Its tokenizer drops words at random, which no search can use.")
    ranks = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__)
    bpe = models.BPE(vocab=tokenizer.encoder, merges=ranks, end_of_word_suffix="</w>")
    made = Tokenizer(bpe)
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.add_special_tokens(["<start_of_text>", "<end_of_text>"])
    made.save(str(file))
    clean = tokenizer.clean_fn.__name__.removeprefix("_clean_")
    return TokenTemplate(length, clean, (tokenizer.sot_token_id,), (tokenizer.eot_token_id,), pad=0)


def _write_hf(tokenizer: "HFTokenizer", length: int, file: Path) -> TokenTemplate:
    """Write a tokenizer of transformers, and find what it puts around a text."""
    inner = tokenizer.tokenizer
    made = inner.backend_tokenizer
    made.no_truncation()
    made.no_padding()
    made.save(str(file))
    clean = tokenizer.clean_fn.__name__.removeprefix("_clean_")
    if tokenizer.tokenizer_mode == "clips":
        around = ((inner.bos_token_id,), (inner.eos_token_id,))
        return TokenTemplate(length, clean, *around, pad=inner.pad_token_id, tail=inner.cls_token_id)
    bare, whole = (made.encode("dog", add_special_tokens=add).ids for add in (False, True))
    at = next(n for n in range(len(whole)) if whole[n : n + len(bare)] == bare)
    zero = inner.sep_token_id if tokenizer.strip_sep_token else None
    prefix, suffix = (
        tuple(0 if token == zero else token for token in part)
        for part in (whole[:at], whole[at + len(bare) :])
    )
    return TokenTemplate(length, clean, prefix, suffix, pad=inner.pad_token_id, side=inner.padding_side)
