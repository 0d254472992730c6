"""Convert texts to token ids as open_clip does, without torch, with the library `tokenizers`."""

import html
import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TokenIds = NDArray[np.int64]  # (n, context), padded
UNKNOWN_TOKENS = ("<unk>", "[UNK]", "▁")  # the last is a space before a word
_REMOVE_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True)
class TokenTemplate:
    """The row of ids around the tokens of a text; its fields are keys in recipe.json."""

    length: int  # of the row
    clean: str  # mode of clean_text
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    pad: int
    side: str = "right"  # of the padding
    tail: int | None = None  # id in the last column, which some models read

    @property
    def max_tokens(self) -> int:
        """Return the number of tokens of a text that fit."""
        return self.length - len(self.prefix) - len(self.suffix) - (self.tail is not None)

    def apply(self, ids: Sequence[int]) -> list[int]:
        """Return the row for the ids of a text, truncated and padded to `length`."""
        row = [*self.prefix, *ids[: self.max_tokens], *self.suffix]
        last = [] if self.tail is None else [self.tail]
        padding = [self.pad] * (self.length - len(row) - len(last))
        return [*row, *padding, *last] if self.side == "right" else [*padding, *row, *last]


class ModelTokenizer:
    """A tokenizer file, read on first use, and its template."""

    def __init__(self, file: Path, template: TokenTemplate) -> None:
        self.file = file
        self.template = template

    def count_tokens(self, text: str) -> int:
        """Count the tokens of a text, untruncated."""
        return len(self._tokenize(text))

    def knows(self, text: str) -> bool:
        """Return True if any token of a text is known; tokenizers that split into bytes know all."""
        return any(token not in UNKNOWN_TOKENS for token in self._tokenize(text))

    def encode(self, texts: Sequence[str]) -> tuple[TokenIds, NDArray[np.int64]]:
        """Return the ids of n texts, (n, length), and their lengths without padding, (n,).

        Raises ValueError if a text has no tokens.
        """
        cleaned = [clean_text(text, self.template.clean) for text in texts]
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(cleaned, add_special_tokens=False)]
        if not all(rows):
            raise ValueError(f"no word in {texts[next(i for i, ids in enumerate(rows) if not ids)]!r}")
        template = self.template
        special = len(template.prefix) + len(template.suffix)
        ids = np.array([template.apply(ids) for ids in rows], np.int64).reshape(-1, template.length)
        return ids, np.array([special + min(len(row), template.max_tokens) for row in rows], np.int64)

    def _tokenize(self, text: str) -> list[str]:
        cleaned = clean_text(text, self.template.clean)
        tokens: list[str] = self._tokenizer.encode(cleaned, add_special_tokens=False).tokens
        return tokens

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self.file))


def clean_text(text: str, mode: str) -> str:
    """Clean a text as open_clip does; modes are `lower`, `whitespace` (keeps case) and `canonicalize`."""
    if not (text.isascii() and text.isprintable() and "&" not in text):  # else nothing to fix
        import ftfy

        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    if mode == "canonicalize":
        text = text.strip().replace("_", " ").translate(_REMOVE_PUNCTUATION)
    text = " ".join(text.split())
    return text if mode == "whitespace" else text.lower()
