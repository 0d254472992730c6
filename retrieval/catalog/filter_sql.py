"""Translate filters to SQL on segments s, files f and roots r."""

import os
from collections.abc import Iterator, Sequence
from math import asin, cos, degrees, radians, sin, sqrt
from typing import TypeAlias

from retrieval.normalization import nfc
from retrieval.types import Filters

Condition: TypeAlias = tuple[str, list[object]]  # SQL condition and its parameters

EARTH_RADIUS_KM = 6371.0088  # mean radius, IUGG
ABSOLUTE_PATH = "CAST(iif(r.path = x'2f', x'', r.path) || x'2f' || f.path AS BLOB)"  # as bytes
ORIENTATION_CONDITIONS = {
    "landscape": "width > height",
    "portrait": "width < height",
    "square": "width = height",
}
# The distinct values of a column, by one index search per value instead of a scan of the table.
_DISTINCT_NAMES = """WITH RECURSIVE names (name) AS (
              SELECT min({0}) FROM contents WHERE {0} > ''
              UNION ALL
              SELECT (SELECT min({0}) FROM contents WHERE {0} > name) FROM names WHERE name IS NOT NULL)
            SELECT name FROM names WHERE {1}"""


def where_clause(filters: Filters, *, per_row: bool) -> Condition:
    """Return the condition for all filters but the kinds.

    With `per_row` it tests single rows, which is fast for few candidates. Otherwise it is a subquery by the
    index of each filter, which is fast for all segments; a keyword then also passes the other files of its
    content.
    """
    tests = [_any_of([_folder_condition(folder) for folder in filters.under])] if filters.under else []
    tests += [("f.time >= ?", [filters.after])] if filters.after else []
    tests += [("f.time < ?", [filters.before])] if filters.before else []
    tests += [_described_by(test, per_row) for test in _content_conditions(filters)]
    tests += [_tag_condition(tag, per_row) for tag in filters.tags]
    return " AND ".join(test for test, _ in tests) or "1", [value for _, values in tests for value in values]


def distance_km(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Return the great-circle distance of two places by the haversine formula.

    Sinnott, Sky and Telescope 68, 1984.
    """
    north, east = radians(other_latitude - latitude) / 2, radians(other_longitude - longitude) / 2
    haversine = sin(north) ** 2 + cos(radians(latitude)) * cos(radians(other_latitude)) * sin(east) ** 2
    return 2 * EARTH_RADIUS_KM * asin(sqrt(min(1.0, haversine)))


def _any_of(conditions: Sequence[Condition]) -> Condition:
    return f"({' OR '.join(test for test, _ in conditions)})", [
        value for _, values in conditions for value in values
    ]


def _folder_condition(folder: str) -> Condition:
    try:
        path = os.fsencode(folder).rstrip(b"/")
    except UnicodeEncodeError:  # a lone surrogate, which no path contains
        return "0", []
    stored = ABSOLUTE_PATH
    if not path.isascii():  # either side may be decomposed, as on macOS
        stored, path = f"nfc({ABSOLUTE_PATH})", nfc(path)
    if path.startswith(b"/") or not path:
        return f"substr({stored}, 1, ?) = ?", [len(path) + 1, path + b"/"]
    return f"instr({stored}, ?)", [b"/" + path.strip(b"/") + b"/"]


def _content_conditions(filters: Filters) -> Iterator[Condition]:
    """Yield the conditions on a content that describes the file."""
    if filters.camera:
        yield name_condition("camera", filters.camera)
    if filters.lens:
        yield name_condition("lens", filters.lens)
    if filters.near:
        yield _radius_condition(*filters.near)
    if filters.rating is not None:
        yield "rating >= ?", [filters.rating]
    if filters.size:
        width, height, pixels = filters.size
        yield "width >= ? AND height >= ? AND width * height >= ?", [width, height, pixels]
    if filters.orientation:
        yield f"width > 0 AND {ORIENTATION_CONDITIONS[filters.orientation]}", []


def _described_by(content_condition: Condition, per_row: bool) -> Condition:
    """Return the condition that the file, its sidecar or its image satisfies a condition on contents."""
    condition, values = content_condition
    described = f"FROM contents JOIN described_by ON described_by.content = contents.id WHERE {condition}"
    if per_row:
        return f"EXISTS (SELECT 1 {described} AND described_by.file = f.id)", values
    return f"f.id IN (SELECT described_by.file {described})", values


def _tag_condition(tag: str, per_row: bool) -> Condition:
    """Return the condition that a segment has a label, or its file, sidecar or image a keyword.

    SQLite ignores case in ASCII only, so common spellings of other letters are tried.
    """
    names: list[object] = list(dict.fromkeys((tag, tag.lower(), tag.upper(), tag.capitalize(), tag.title())))
    named = f"name IN ({', '.join('?' * len(names))})"
    labeled = f"FROM tags WHERE {named}"
    written = f"FROM keywords JOIN described_by USING (content) WHERE {named}"
    if per_row:
        label = f"EXISTS (SELECT 1 {labeled} AND segment = s.id)"
        return f"({label} OR EXISTS (SELECT 1 {written} AND file = f.id))", names * 2
    contents = f"SELECT content FROM files WHERE id IN (SELECT file {written})"
    segments = f"SELECT id FROM segments WHERE content IN ({contents})"
    return f"s.id IN (SELECT segment {labeled} UNION ALL {segments})", names * 2


def name_condition(column: str, patterns: Sequence[str]) -> Condition:
    """Return the condition that a name matches any pattern; one without * and ? matches parts of names."""
    likes = []
    for pattern in patterns:
        plain = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        like = plain.replace("*", "%").replace("?", "_")
        likes.append(like if like != plain else f"%{plain}%")
    matches = " OR ".join(["name LIKE ? ESCAPE '\\'"] * len(likes))
    return f"{column} IN ({_DISTINCT_NAMES.format(column, matches)})", list(likes)


def _radius_condition(latitude: float, longitude: float, radius: float) -> Condition:
    """Return the condition that a place is within a radius: in a bounding box by the index, then exactly."""
    angle = radius / EARTH_RADIUS_KM  # radians
    south, north = latitude - degrees(angle), latitude + degrees(angle)
    test, values = "latitude >= ? AND latitude <= ?", [south, north]
    if south > -90 and north < 90:  # the circle contains no pole, so two meridians bound it
        offset = degrees(asin(min(1.0, sin(angle) / cos(radians(latitude)))))
        west, east = longitude - offset, longitude + offset
        turns = [(west + turn, east + turn) for turn in (-360, 0, 360)]
        # A circle across the antimeridian has two parts.
        ranges = [(low, high) for low, high in turns if high >= -180 and low <= 180]
        test += f" AND ({' OR '.join(['longitude >= ? AND longitude <= ?'] * len(ranges))})"
        values += [end for pair in ranges for end in pair]
    return f"{test} AND kilometres(latitude, longitude, ?, ?) <= ?", [*values, latitude, longitude, radius]
