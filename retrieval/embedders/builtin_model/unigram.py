"""The Unigram tokenizer of the built-in model, on tables that are mapped instead of built.

It returns the same ids as the library `tokenizers`, which needs 0.2 s to build its tables from a file but is
faster afterwards, so that many texts are left to it. `.ci/build_tokenizer.py` writes the tables:

characters, children, ids   the trie of the pieces: the children of node n are the nodes from children[n] to
                            children[n + 1], by character; an id of -1 means that no piece ends at the node
scores                      of the pieces, by id
normalizations, normalized  SentencePiece's trie of normalizations (Darts), and the texts that it points to
clusters                    where the class of characters in grapheme clusters changes, and the class
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN, UNKNOWN_PENALTY = 0, 10.0
SPACE_MARK = "▁"
RARE_SCORE = -14.0  # of a character that is no piece, to rate the familiarity of a text
FAMILIARITY = 0.6  # share of the score by characters that pieces save in a long familiar text
SHORT_TEXT = 0.9  # less of it is expected of n characters, by this over the square root of n
IDEOGRAPH_RATIO = 0.45  # score of a known ideograph, relative to its score as a character
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # as Unicode has it
MAX_MAPPED_CLUSTER = 5  # bytes of a grapheme cluster that is normalized as one
MAX_OWN_CHARACTERS = 100_000  # after which the library is worth the time that it needs to start
MAX_QUERY_CHARACTERS = 200  # of a query or a word
MAX_CACHED = 4096  # characters and clusters whose normalization is kept
OTHER, CONTROL, EXTEND, JOINER, PREPEND, PICTOGRAPH = range(6)  # classes of characters in grapheme clusters

_many_spaces = re.compile(" {2,}")
_outer_space = re.compile(f"^[{WHITE_SPACE}]+|[{WHITE_SPACE}]+$".replace("$", r"\Z"))


class UnigramTokenizer:
    """The tokenizer of a folder of tables."""

    def __init__(self, folder: Path) -> None:
        def table(name: str) -> Any:
            return memoryview(np.load(folder / f"{name}.npy", mmap_mode="r"))

        self._characters, self._children, self._ids = table("characters"), table("children"), table("ids")
        self._scores, self._folder = table("scores"), folder
        self._normalizations, self._normalized = table("normalizations"), table("normalized")
        self._starts, self._classes = np.load(folder / "clusters.npy").tolist()
        self._unknown_score = float(np.load(folder / "scores.npy", mmap_mode="r").min()) - UNKNOWN_PENALTY
        self._character_count = 0  # of passages that this tokenizer has read
        self._map = lru_cache(MAX_CACHED)(self._find_normalization)
        self._class = lru_cache(MAX_CACHED)(self._find_class)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of the pieces of each text."""
        texts = [text.encode("utf-8", "replace").decode() for text in texts]  # without surrogates
        size = sum(map(len, texts))
        if len(texts) == 1 and size <= MAX_QUERY_CHARACTERS:
            return [self.segment(self.normalize(texts[0]))]
        self._character_count += size
        if self._character_count > MAX_OWN_CHARACTERS:
            encodings = self._library.encode_batch(texts, add_special_tokens=False)
            return [encoding.ids for encoding in encodings]
        return [self.segment(self.normalize(text)) for text in texts]

    def normalize(self, text: str) -> str:
        """Return a text normalized as SentencePiece does it, in lower case, with single spaces."""
        if not (text.isascii() and text.isprintable()):
            text = self._normalize_clusters(text)
        text = "".join(map(str.lower, text)) if "Σ" in text else text.lower()  # no final form of sigma
        return _outer_space.sub("", _many_spaces.sub(" ", text))

    def unfamiliarity(self, text: str) -> float:
        """Return how unlike a text in the languages of the tokenizer a text is, from 0 to 1.

        Familiar words are much likelier as pieces than as characters. Random letters and words of unknown
        languages are not. A known ideograph or Hangul syllable is itself a familiar piece. The shorter a
        text, the less is expected of it. The constants were chosen on words and captions in 15 languages,
        words in others, and random letters of nine scripts.
        """
        normalized = self.normalize(text).replace(" ", SPACE_MARK)
        marked, length = _with_space_mark(normalized), 0
        by_pieces = by_characters = 0.0
        for start, end, piece in self._best_pieces(marked):
            word = marked[start:end].replace(SPACE_MARK, "")
            single = sum(map(self._single_score, word))
            length += len(word)
            by_characters += single
            if piece == UNKNOWN:
                by_pieces += single
            elif all(map(_is_ideograph, word)):
                by_pieces += IDEOGRAPH_RATIO * single
            elif word:
                by_pieces += max(self._scores[piece], single)
        if not by_characters:
            return 0.0
        expected = FAMILIARITY - SHORT_TEXT / float(length**0.5)
        if expected <= 0:  # so short that it may be any word
            return 0.0
        return max(0.0, 1 - (1 - by_pieces / by_characters) / expected)

    def _single_score(self, character: str) -> float:
        """Return the score of a character as a piece."""
        first, beyond = self._children[0], self._children[1]
        node = bisect_left(self._characters, ord(character), first, beyond)
        if node == beyond or self._characters[node] != ord(character) or self._ids[node] < 0:
            return RARE_SCORE
        return float(self._scores[self._ids[node]])

    def segment(self, text: str) -> list[int]:
        """Return the ids of the likeliest pieces of a normalized text; unknown neighbors are one piece."""
        if not text:
            return []
        ids = list[int]()
        for _, _, piece in self._best_pieces(_with_space_mark(text.replace(" ", SPACE_MARK))):
            if not (piece == UNKNOWN and ids and ids[-1] == UNKNOWN):
                ids.append(piece)
        return ids

    def _best_pieces(self, text: str) -> list[tuple[int, int, int]]:
        """Return the start, end and id of the likeliest pieces of a text with space marks."""
        codes = [ord(character) for character in text]
        characters, children, ids, scores = self._characters, self._children, self._ids, self._scores
        size = len(codes)
        best = [0.0] + [float("-inf")] * size  # the score of the best pieces of the text until a position
        last = [(0, 0)] * (size + 1)  # where the last of these pieces starts, and its id
        for start in range(size):
            node, score_here = 0, best[start]
            has_single = False
            for end in range(start, size):
                first, beyond, code = children[node], children[node + 1], codes[end]
                node = bisect_left(characters, code, first, beyond)
                if node == beyond or characters[node] != code:
                    break
                if (piece := ids[node]) >= 0:
                    score = score_here + scores[piece]
                    if score > best[end + 1]:
                        best[end + 1], last[end + 1] = score, (start, piece)
                    has_single |= end == start
            if not has_single and score_here + self._unknown_score > best[start + 1]:
                best[start + 1], last[start + 1] = score_here + self._unknown_score, (start, UNKNOWN)
        return _read_back(last)

    def _normalize_clusters(self, text: str) -> str:
        """Map each short grapheme cluster, or each of its characters, to its normalized form.

        As in SentencePiece, of a cluster the shortest prefix with a normalization stands for all of it.
        """
        parts, start = [], 0
        while start < len(text):
            end = self._cluster_end(text, start)
            cluster = text[start:end]
            mapped = None
            if end - start > 1 and len(cluster.encode()) <= MAX_MAPPED_CLUSTER:
                mapped = self._map(cluster)
            if mapped is None:
                parts += [known if (known := self._map(each)) is not None else each for each in cluster]
            else:
                parts.append(mapped)
            start = end
        return "".join(parts)

    def _cluster_end(self, text: str, start: int) -> int:
        """Return where the grapheme cluster ends; Hangul and flags are too long to matter, and left out."""
        before, after_pictograph = self._class(text[start]), False
        is_pictograph = before == PICTOGRAPH
        end = start + 1
        while end < len(text):
            current = self._class(text[end])
            joins = (
                (current in (EXTEND, JOINER) and before != CONTROL)
                or (before == PREPEND and current != CONTROL)
                or (current == PICTOGRAPH and after_pictograph)
                or text[end - 1 : end + 1] == "\r\n"
            )
            if not joins:
                break
            is_pictograph = current == PICTOGRAPH or (is_pictograph and current in (EXTEND, JOINER))
            after_pictograph = is_pictograph and current == JOINER
            before, end = current, end + 1
        return end

    def _find_class(self, character: str) -> int:
        number: int = self._classes[bisect_right(self._starts, ord(character)) - 1]
        return number

    def _find_normalization(self, text: str) -> str | None:
        """Return the text that stands for the shortest mapped prefix, None if no prefix is mapped."""
        units = self._normalizations
        node = _offset(units[0])
        for byte in text.encode():
            if byte == 0:
                break
            node ^= byte
            unit = units[node]
            if unit & (1 << 31 | 0xFF) != byte:
                break
            node ^= _offset(unit)
            if unit >> 8 & 1:  # a prefix ends here
                begin = units[node] & 0x7FFFFFFF
                end = begin
                while self._normalized[end]:
                    end += 1
                return bytes(self._normalized[begin:end]).decode()
        return None

    @cached_property
    def _library(self) -> "Tokenizer":
        """Return the same tokenizer of the library `tokenizers`."""
        from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

        tokenizer = Tokenizer(models.Unigram(self.pieces(), UNKNOWN, False))
        charsmap = b"".join(
            (self._normalizations.nbytes.to_bytes(4, "little"), self._normalizations, self._normalized)
        )
        tokenizer.normalizer = normalizers.Sequence(
            [
                normalizers.Precompiled(charsmap),
                normalizers.Lowercase(),
                normalizers.Replace(Regex(" {2,}"), " "),
                normalizers.Strip(),
            ]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(SPACE_MARK, prepend_scheme="always", split=False)
        return tokenizer

    def pieces(self) -> list[tuple[str, float]]:
        """Return the pieces and their scores, by id."""
        children = self._children.tolist()
        texts = [""] * len(self._ids)
        for node, prefix in enumerate(texts):  # parents come before their children
            prefix = texts[node]
            for child in range(children[node], children[node + 1]):
                texts[child] = prefix + chr(self._characters[child])
        pieces = [(text, id_) for text, id_ in zip(texts, self._ids, strict=True) if id_ >= 0]
        return [(text, self._scores[id_]) for text, id_ in sorted(pieces, key=lambda piece: piece[1])]


def _offset(unit: int) -> int:
    """Return the distance from a node of Darts to its children."""
    return unit >> 10 << ((unit & 1 << 9) >> 6)


def _with_space_mark(text: str) -> str:
    """Return a text with a space mark before its first word."""
    return text if not text or text[0] == SPACE_MARK else SPACE_MARK + text


def _is_ideograph(character: str) -> bool:
    """Return True for Chinese characters and Hangul syllables, most of which are pieces."""
    return "\u3400" <= character <= "\u9fff" or "\uac00" <= character <= "\ud7a3"


def _read_back(last: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Return the start, end and id of the best pieces, in order."""
    pieces = list[tuple[int, int, int]]()
    end = len(last) - 1
    while end > 0:
        start, piece = last[end]
        pieces.append((start, end, piece))
        end = start
    return pieces[::-1]
