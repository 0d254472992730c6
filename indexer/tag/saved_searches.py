"""Saved searches: queries with a name, which other queries contain as @NAME."""

import re
from pathlib import Path

from indexer.store.location import existing_library
from indexer.store.writer import LibraryWriter
from indexer.tag.concepts import validate_name
from retrieval.errors import QueryError
from retrieval.normalization import nfc
from retrieval.query.ast import Query
from retrieval.query.names import concept_names, expand_saved_searches, named_in, saved_searches
from retrieval.query.parser import parse


def save_search(name: str, query: str, *, library: str | Path | None = None, replace: bool = False) -> None:
    """Save a query under a name; `replace` overwrites the query that has it. Raises QueryError."""
    name = validate_name(name)
    if parse(query) == Query():
        raise QueryError(
            'The query is empty. Give words or filters, as in: clew save beach "beach date:2021"'
        )
    with LibraryWriter(existing_library(library)) as writer:
        saved, concepts = saved_searches(writer.catalog), concept_names(writer.catalog)
        if name in concepts:
            raise QueryError(f"@{name} is a concept. Choose another name.")
        if name in saved and not replace:
            raise QueryError(f"@{name} is already {saved[name]!r}. Add --replace to overwrite it.")
        expanded = expand_saved_searches(parse(query), saved | {name: query})
        if unknown := [each for each in named_in(expanded) if each not in concepts]:
            raise QueryError(
                f"@{unknown[0]} is no concept or saved search of this library. `clew teach` and `clew save` "
                "list them."
            )
        with writer.db.atomic():
            writer.db.execute("INSERT OR REPLACE INTO saved_searches VALUES (?, ?)", (name, query))


def rename_search(name: str, new_name: str, *, library: str | Path | None = None) -> None:
    """Give a saved search another name, also in the saved searches that contain it. Raises QueryError."""
    name, new_name = validate_name(name), validate_name(new_name)
    with LibraryWriter(existing_library(library)) as writer:
        saved = saved_searches(writer.catalog)
        _check_saved(name, saved)
        if new_name in saved or new_name in concept_names(writer.catalog):
            raise QueryError(f"@{new_name} exists already. Choose another name.")
        with writer.db.atomic():
            writer.db.execute("UPDATE saved_searches SET name = ? WHERE name = ?", (new_name, name))
            for other, query in saved.items():
                if name in named_in(parse(query)):
                    renamed = _rename_in(query, name, new_name)
                    writer.db.execute("UPDATE saved_searches SET query = ? WHERE name = ?", (renamed, other))


def delete_search(name: str, *, library: str | Path | None = None) -> None:
    """Delete a saved search that no other one contains. Raises QueryError."""
    name = validate_name(name)
    with LibraryWriter(existing_library(library)) as writer:
        saved = saved_searches(writer.catalog)
        _check_saved(name, saved)
        if users := [other for other, query in saved.items() if name in named_in(parse(query))]:
            raise QueryError(f"@{users[0]} contains @{name}. Delete or replace @{users[0]} first.")
        with writer.db.atomic():
            writer.db.execute("DELETE FROM saved_searches WHERE name = ?", (name,))


def _check_saved(name: str, saved: dict[str, str]) -> None:
    if name not in saved:
        raise QueryError(f"There is no saved search @{name}. `clew save` lists them.")


def _rename_in(query: str, name: str, new_name: str) -> str:
    """Return a query with another name of a saved search in it."""
    return re.sub(rf"@{re.escape(name)}(?![\w-])", f"@{new_name}", nfc(query))
