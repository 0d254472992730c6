"""Syntax tree of a query; str() of a tree parses to the same tree."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from retrieval.normalization import without_surrogates
from retrieval.query.lexer import escape, escape_word, quote


@dataclass(frozen=True, slots=True)
class Words:
    """Words in order, as pairs of a text and True if it was quoted.

    A surrogate, of a byte that is not UTF-8, is replaced by a question mark; in the name of a file it stays.
    """

    pieces: tuple[tuple[str, bool], ...]

    def __post_init__(self) -> None:
        """Replace the surrogates."""
        clean = tuple((without_surrogates(text), quoted) for text, quoted in self.pieces)
        object.__setattr__(self, "pieces", clean)

    @property
    def text(self) -> str:
        """Return the text to embed."""
        return " ".join(text for text, _ in self.pieces)

    @property
    def phrases(self) -> tuple[str, ...]:
        """Return the quoted texts."""
        return tuple(text for text, quoted in self.pieces if quoted)

    def __str__(self) -> str:
        return " ".join(quote(text) if quoted else escape_word(text) for text, quoted in self.pieces)


@dataclass(frozen=True, slots=True)
class File:
    """An image on disk."""

    path: str

    def __str__(self) -> str:
        return f"file:{quote(self.path)}"


@dataclass(frozen=True, slots=True)
class Url:
    """An image on the network."""

    address: str

    def __str__(self) -> str:
        return escape(self.address)


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of the library, by its id."""

    id: int

    def __str__(self) -> str:
        return f"#{self.id}"


@dataclass(frozen=True, slots=True)
class Concept:
    """A concept that was taught from examples, or a saved search."""

    name: str

    def __str__(self) -> str:
        return f"@{self.name}"


Operand: TypeAlias = Words | File | Url | Segment | Concept


@dataclass(frozen=True, slots=True)
class Term:
    """An operand with its weight, which is negative if the operand is subtracted."""

    operand: Operand
    weight: float = 1.0

    def __str__(self) -> str:
        sign, operand = "-" if self.weight < 0 else "+", str(self.operand)
        if abs(self.weight) == 1:
            return f"{sign} {operand}"
        short = f"{abs(self.weight):g}"
        weight = short if float(short) == abs(self.weight) else repr(abs(self.weight))
        return f"{sign} {weight}:{chr(92) * operand[0].isdigit()}{operand}"


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query: terms to sum, exclusions, and filters as pairs of a name and a value.

    `others` are alternatives to these, each with its own terms, exclusions and filters.
    """

    terms: tuple[Term, ...] = ()
    exclusions: tuple[Operand, ...] = ()
    filters: tuple[tuple[str, str], ...] = ()
    others: "tuple[Query, ...]" = ()

    @property
    def alternatives(self) -> "tuple[Query, ...]":
        """Return the alternative queries, at least one; a hit matches any of them."""
        return (replace(self, others=()), *self.others) if self.others else (self,)

    def map(self, change: "Callable[[Query], Query]") -> "Query":
        """Return the query with each alternative changed to one other."""
        first, *others = map(change, self.alternatives)
        return replace(first, others=tuple(others))

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Return the operands of all terms and exclusions."""
        return tuple(
            operand
            for query in self.alternatives
            for operand in (*(term.operand for term in query.terms), *query.exclusions)
        )

    def map_operands(self, change: Callable[[Operand], Operand]) -> "Query":
        """Return the query with each operand of a term or an exclusion changed to one other."""

        def changed(query: Query) -> Query:
            terms = tuple(replace(term, operand=change(term.operand)) for term in query.terms)
            return replace(query, terms=terms, exclusions=tuple(map(change, query.exclusions)))

        return self.map(changed)

    @property
    def is_text_only(self) -> bool:
        """Return True if all terms with a positive weight are words, and each alternative has one."""
        return all(
            operands and all(isinstance(operand, Words) for operand in operands)
            for operands in map(_added_operands, self.alternatives)
        )

    @property
    def words(self) -> str:
        """Return the words of the terms with a positive weight, phrases in quotes."""
        operands = [operand for query in self.alternatives for operand in _added_operands(query)]
        pieces = [piece for operand in operands if isinstance(operand, Words) for piece in operand.pieces]
        return " ".join(f'"{text.replace(chr(34), " ")}"' if quoted else text for text, quoted in pieces)

    @property
    def segment_ids(self) -> frozenset[int]:
        """Return the ids of the segments among the terms."""
        terms = [term for query in self.alternatives for term in query.terms]
        return frozenset(term.operand.id for term in terms if isinstance(term.operand, Segment))

    def __str__(self) -> str:
        return " | ".join(map(_format_alternative, self.alternatives))


def _added_operands(query: Query) -> list[Operand]:
    return [term.operand for term in query.terms if term.weight > 0]


def _format_alternative(query: Query) -> str:
    parts = [str(term) for term in query.terms]
    parts += [f"not:{operand}" for operand in query.exclusions]
    parts += [f"{name}:{quote(value)}" for name, value in query.filters]
    return " ".join(parts).removeprefix("+ ")
