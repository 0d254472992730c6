"""Export open_clip's tokenizers to files that need no torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.models.checkpoint import TOKENIZER_PROBES
from retrieval.embedders.tokenizer import ModelTokenizer, TokenTemplate
from retrieval.errors import EmbedderError

if TYPE_CHECKING:
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer


def tokenizer_signature(tokenizer: "SimpleTokenizer | HFTokenizer", ids: Any) -> bytes:
    """Return bytes that identify a tokenizer: its vocabulary, and the ids of TOKENIZER_PROBES."""
    inner = getattr(tokenizer, "tokenizer", None)
    vocabulary: dict[str, int] = tokenizer.encoder if inner is None else inner.get_vocab()
    return repr(sorted(vocabulary.items())).encode() + bytes(ids.tobytes())


def export_tokenizer(tokenizer: "SimpleTokenizer | HFTokenizer", ids: Any, file: Path) -> TokenTemplate:
    """Write a tokenizer in the format of the library `tokenizers`, and return its template.

    Raises EmbedderError if the ids of TOKENIZER_PROBES differ from open_clip's.
    """
    from open_clip.tokenizer import SimpleTokenizer

    length, temporary = tokenizer.context_length, file.with_suffix(".tmp")
    if isinstance(tokenizer, SimpleTokenizer):
        template = _write_simple(tokenizer, length, temporary)
    else:
        template = _write_hf(tokenizer, length, temporary)
    if not np.array_equal(ModelTokenizer(temporary, template).encode(TOKENIZER_PROBES)[0], ids):
        raise EmbedderError(
            "The exported tokenizer of this model differs from open_clip's. Please report the model."
        )
    temporary.replace(file)
    return template


def _write_simple(tokenizer: "SimpleTokenizer", length: int, file: Path) -> TokenTemplate:
    """Write the byte-pair encoding of CLIP."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    if tokenizer.reduction_fn is not None:
        raise EmbedderError(
            "The tokenizer of this model drops random words, so that it cannot be used for search."
        )
    ranks = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__)
    bpe = models.BPE(vocab=tokenizer.encoder, merges=ranks, end_of_word_suffix="</w>")
    exported = Tokenizer(bpe)
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    exported.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    exported.add_special_tokens(["<start_of_text>", "<end_of_text>"])
    exported.save(str(file))
    clean = tokenizer.clean_fn.__name__.removeprefix("_clean_")
    return TokenTemplate(length, clean, (tokenizer.sot_token_id,), (tokenizer.eot_token_id,), pad=0)


def _write_hf(tokenizer: "HFTokenizer", length: int, file: Path) -> TokenTemplate:
    """Write a tokenizer of transformers, and find the special tokens that it adds to a text."""
    inner = tokenizer.tokenizer
    exported = inner.backend_tokenizer
    exported.no_truncation()
    exported.no_padding()
    exported.save(str(file))
    clean = tokenizer.clean_fn.__name__.removeprefix("_clean_")
    if tokenizer.tokenizer_mode == "clips":
        start, end = (inner.bos_token_id,), (inner.eos_token_id,)
        return TokenTemplate(length, clean, start, end, pad=inner.pad_token_id, tail=inner.cls_token_id)
    bare, complete = (exported.encode("dog", add_special_tokens=add).ids for add in (False, True))
    at = next(n for n in range(len(complete)) if complete[n : n + len(bare)] == bare)
    zero = inner.sep_token_id if tokenizer.strip_sep_token else None
    prefix, suffix = (
        tuple(0 if token == zero else token for token in part)
        for part in (complete[:at], complete[at + len(bare) :])
    )
    return TokenTemplate(length, clean, prefix, suffix, pad=inner.pad_token_id, side=inner.padding_side)
