"""Syntax tree of a query; str() of a tree parses to the same tree."""

from dataclasses import dataclass
from typing import TypeAlias

from retrieval.query.lexer import (
    escape,
    escape_word,
    quote,
)


@dataclass(frozen=True, slots=True)
class Words:
    """Words, in order; (text, whether it was quoted)."""

    pieces: tuple[tuple[str, bool], ...]

    @property
    def text(self) -> str:
        """Return what is embedded."""
        return " ".join(text for text, _ in self.pieces)

    @property
    def phrases(self) -> tuple[str, ...]:
        """Return what stood in quotes."""
        return tuple(text for text, quoted in self.pieces if quoted)

    def __str__(self) -> str:
        return " ".join(quote(text) if quoted else escape_word(text) for text, quoted in self.pieces)


@dataclass(frozen=True, slots=True)
class File:
    """A picture on disk."""

    path: str

    def __str__(self) -> str:
        return f"file:{quote(self.path)}"


@dataclass(frozen=True, slots=True)
class Url:
    """A picture on the network."""

    address: str

    def __str__(self) -> str:
        return escape(self.address)


@dataclass(frozen=True, slots=True)
class Segment:
    """Something that was found before, by its id."""

    id: int

    def __str__(self) -> str:
        return f"#{self.id}"


@dataclass(frozen=True, slots=True)
class Concept:
    """Something that was taught from examples."""

    name: str

    def __str__(self) -> str:
        return f"@{self.name}"


Operand: TypeAlias = Words | File | Url | Segment | Concept


@dataclass(frozen=True, slots=True)
class Term:
    """A thing with its weight, which is below 0 where it is taken away."""

    operand: Operand
    weight: float = 1.0

    def __str__(self) -> str:
        sign, thing = "-" if self.weight < 0 else "+", str(self.operand)
        if abs(self.weight) == 1:
            return f"{sign} {thing}"
        short = f"{abs(self.weight):g}"
        weight = short if float(short) == abs(self.weight) else repr(abs(self.weight))
        return f"{sign} {weight}:{chr(92) * thing[0].isdigit()}{thing}"


@dataclass(frozen=True, slots=True)
class Query:
    """What was asked: terms that are added up, things that no hit may be, and filters (name, value)."""

    terms: tuple[Term, ...] = ()
    exclusions: tuple[Operand, ...] = ()
    filters: tuple[tuple[str, str], ...] = ()

    @property
    def is_text_only(self) -> bool:
        """Say whether words, and nothing else, are looked for."""
        wanted = [term.operand for term in self.terms if term.weight > 0]
        return bool(wanted) and all(isinstance(thing, Words) for thing in wanted)

    @property
    def segment_ids(self) -> frozenset[int]:
        """Return the segments that are named."""
        return frozenset(term.operand.id for term in self.terms if isinstance(term.operand, Segment))

    def __str__(self) -> str:
        parts = [str(term) for term in self.terms]
        parts += [f"not:{thing}" for thing in self.exclusions]
        parts += [f"{name}:{quote(value)}" for name, value in self.filters]
        return " ".join(parts).removeprefix("+ ")
