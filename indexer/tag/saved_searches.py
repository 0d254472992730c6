"""Saved searches: queries with a name, which other queries contain as @NAME."""

import dataclasses
from functools import partial
from pathlib import Path

from indexer.store.location import existing_library
from indexer.store.writer import LibraryWriter
from indexer.tag.concepts import validate_name
from retrieval.errors import QueryError
from retrieval.normalization import without_surrogates
from retrieval.query.ast import Concept, File, Operand, Query
from retrieval.query.filters import parse_folder
from retrieval.query.names import concept_names, expand_saved_searches, named_in, saved_searches
from retrieval.query.parser import parse
from retrieval.system import expand_user


def save_search(name: str, query: str, *, library: str | Path | None = None, replace: bool = False) -> str:
    """Save a query under a name, with absolute names of files and folders; return it as it was saved.

    `replace` overwrites the query that has the name. Raises QueryError.
    """
    name, query = validate_name(name), _with_absolute_paths(query)
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
    return query


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
                if name in named_in(tree := parse(query)):
                    renamed = str(tree.map_operands(partial(_rename, name=name, new_name=new_name)))
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


def _rename(operand: Operand, *, name: str, new_name: str) -> Operand:
    return Concept(new_name) if operand == Concept(name) else operand


def _with_absolute_paths(query: str) -> str:
    """Return a query that is the same in each folder, and can be stored; raises QueryError."""
    tree = parse(query)
    absolute = tree.map_operands(_absolute_file).map(_with_absolute_folders)
    text = query if absolute == tree and _is_utf8(query) else str(absolute)
    if not _is_utf8(text):
        raise QueryError("The query names a file or folder whose name is not UTF-8. Rename it, then save.")
    return text


def _absolute_file(operand: Operand) -> Operand:
    return File(str(expand_user(operand.path).absolute())) if isinstance(operand, File) else operand


def _with_absolute_folders(query: Query) -> Query:
    filters = tuple(
        (name, parse_folder(value) if name in ("under", "-under") and value.startswith((".", "~")) else value)
        for name, value in query.filters
    )
    return dataclasses.replace(query, filters=filters)


def _is_utf8(text: str) -> bool:
    return text == without_surrogates(text)
