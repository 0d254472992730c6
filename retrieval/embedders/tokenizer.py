"""Text as the ids a text tower reads, without torch: open_clip's tokenizers as `tokenizers` runs them."""

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
    """How the tokens of a text are framed: cleaned first, special ids around them, padded to `length`.

    `tail` is an id in the last column of all, which some models read.
    """

    length: int
    clean: str
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    pad: int
    side: str = "right"
    tail: int | None = None

    @property
    def max_tokens(self) -> int:
        """Return how many tokens of a text fit."""
        return self.length - len(self.prefix) - len(self.suffix) - (self.tail is not None)

    def apply(self, ids: Sequence[int]) -> list[int]:
        """Return `length` ids."""
        row = [*self.prefix, *ids[: self.max_tokens], *self.suffix]
        last = [] if self.tail is None else [self.tail]
        padding = [self.pad] * (self.length - len(row) - len(last))
        return [*row, *padding, *last] if self.side == "right" else [*padding, *row, *last]


class ModelTokenizer:
    """A tokenizer file and its frame; it is read when first needed."""

    def __init__(self, file: Path, template: TokenTemplate) -> None:
        self.file = file
        self.template = template

    def count_tokens(self, text: str) -> int:
        """Count the tokens of a text, untruncated."""
        return len(self._tokenize(text))

    def knows(self, text: str) -> bool:
        """Say whether any token of a text is known; those that split into bytes know all."""
        return any(token not in UNKNOWN_TOKENS for token in self._tokenize(text))

    def encode(self, texts: Sequence[str]) -> tuple[TokenIds, NDArray[np.int64]]:
        """Return the ids of n texts, (n, length), and how many of each come before padding, (n,).

        Raises ValueError where a text has no tokens.
        """
        cleaned = [clean_text(text, self.template.clean) for text in texts]
        rows = [each.ids for each in self._tokenizer.encode_batch(cleaned, add_special_tokens=False)]
        if not all(rows):
            raise ValueError(f"no word in {texts[next(i for i, ids in enumerate(rows) if not ids)]!r}")
        frame = self.template
        around = len(frame.prefix) + len(frame.suffix)
        ids = np.array([frame.apply(ids) for ids in rows], np.int64).reshape(-1, frame.length)
        return ids, np.array([around + min(len(row), frame.max_tokens) for row in rows], np.int64)

    def _tokenize(self, text: str) -> list[str]:
        cleaned = clean_text(text, self.template.clean)
        tokens: list[str] = self._tokenizer.encode(cleaned, add_special_tokens=False).tokens
        return tokens

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self.file))


def clean_text(text: str, mode: str) -> str:
    """Clean a text as open_clip does: `lower`, `whitespace` (case kept) or `canonicalize`."""
    if not (text.isascii() and text.isprintable() and "&" not in text):  # else there is nothing to fix
        import ftfy

        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    if mode == "canonicalize":
        text = text.strip().replace("_", " ").translate(_REMOVE_PUNCTUATION)
    text = " ".join(text.split())
    return text if mode == "whitespace" else text.lower()
