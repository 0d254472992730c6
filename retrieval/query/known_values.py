"""Find values of filters that nothing in a library has, and the nearest ones that exist."""

import os
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path

from retrieval.catalog.filter_sql import ABSOLUTE_PATH, name_condition, where_clause
from retrieval.catalog.reader import Catalog
from retrieval.types import Filters

MIN_SIMILARITY = 0.6  # of a value to the nearest known one, as a ratio of difflib
MAX_LISTED = 5  # known values in a message, if none is near

_FILES = "FROM files f JOIN roots r ON r.id = f.root WHERE f.state != 'gone'"
_TAGS = "SELECT name FROM keywords UNION SELECT name FROM labels UNION SELECT name FROM tags"


def unknown_values(catalog: Catalog, filters: Filters, found: bool = False) -> list[str]:
    """Return a message for each folder, camera, lens and tag that is not in the library.

    If hits were found, only values that are excluded or alternatives of others can be unknown.
    """
    return [
        *_unknown_folders(catalog, filters.under if len(filters.under) > found else ()),
        *_unknown_names(catalog, "camera", filters.camera if len(filters.camera) > found else ()),
        *_unknown_names(catalog, "lens", filters.lens if len(filters.lens) > found else ()),
        *_unknown_tags(catalog, () if found else filters.tags),
        *_unknown_tags(catalog, filters.any_tags if len(filters.any_tags) > found else ()),
        *(message for each in filters.none for message in unknown_values(catalog, each)),
    ]


def _unknown_folders(catalog: Catalog, folders: Iterable[str]) -> Iterator[str]:
    for folder in folders:
        test, values = where_clause(Filters(under=(folder,)), per_row=True)
        if not catalog.db.execute(f"SELECT 1 {_FILES} AND {test} LIMIT 1", values).fetchone():
            depth = 0 if folder.startswith("/") else folder.count("/") + 1
            yield _message("folder", folder, _folders(catalog, depth))


def _folders(catalog: Catalog, depth: int) -> set[str]:
    """Return the absolute paths of all indexed folders, or with a depth the last names of each path."""
    rows = catalog.db.execute(f"SELECT DISTINCT {ABSOLUTE_PATH}, r.path {_FILES}").fetchall()
    folders = {(os.fsdecode(path).rpartition("/")[0], os.fsdecode(root)) for path, root in rows}
    paths = {
        str(parent)
        for folder, root in folders
        for parent in (Path(folder), *Path(folder).parents)
        if parent.is_relative_to(root)
    }
    return {"/".join(path.split("/")[-depth:]) for path in paths} if depth else paths


def _unknown_names(catalog: Catalog, column: str, patterns: Iterable[str]) -> Iterator[str]:
    for pattern in patterns:
        test, values = name_condition(column, (pattern,))
        if not catalog.db.execute(f"SELECT 1 FROM contents WHERE {test} LIMIT 1", values).fetchone():
            query = f"SELECT DISTINCT {column} FROM contents WHERE {column} > ''"
            yield _message(column, pattern, {row[0] for row in catalog.db.execute(query)})


def _unknown_tags(catalog: Catalog, tags: Iterable[str]) -> Iterator[str]:
    known = {row[0] for row in catalog.db.execute(_TAGS)} if tags else set()
    for tag in tags:
        if tag.casefold() not in map(str.casefold, known):
            yield _message("tag", tag, known)


def _message(name: str, value: str, known: set[str]) -> str:
    """Return a message with the nearest known value, or with some known ones."""
    if not known:
        return f"No {name} {value!r}: nothing in this library has a {name}."
    folded = {text.casefold(): text for text in sorted(known)}
    if near := get_close_matches(value.casefold(), folded, 1, MIN_SIMILARITY):
        return f"No {name} {value!r} in this library. The nearest is {folded[near[0]]!r}."
    if contained := [text for text in sorted(known) if value.casefold() in text.casefold()]:
        return f"No {name} {value!r} in this library. The nearest is {contained[0]!r}."
    more = f" and {len(known) - MAX_LISTED:,} more" * (len(known) > MAX_LISTED)
    listed = ", ".join(repr(text) for text in sorted(known)[:MAX_LISTED])
    return f"No {name} {value!r} in this library. It has {listed}{more}."
