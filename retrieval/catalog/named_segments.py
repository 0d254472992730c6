"""Find the segments that the names of files match."""

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from retrieval.catalog.schema import DESCRIBES_ITSELF
from retrieval.id_sets import is_member, union
from retrieval.types import Ids, Kind

MIN_MAPPED_FILES = 10_000  # so many files in several searches, and the segments of all are kept in memory
MIN_MAPPED_SHARE = 0.1  # of the segments: to join so many files takes as long as to read the segments of all
MAX_JOINED_FILES = 100_000  # more files are found faster by reading the segments of all

_NAMED_FILES = f"state != 'gone' AND {DESCRIBES_ITSELF}"
# A file's name matches its first segment of each kind, and its segments that contain other words.
_NAMED_SEGMENTS_QUERY = f"""
    WITH named AS (SELECT content FROM files
                    WHERE id IN (SELECT value FROM json_each(?1)) AND {_NAMED_FILES})
    SELECT min(id) AS id FROM segments WHERE content IN (SELECT content FROM named) GROUP BY content, kind
    UNION SELECT s.id FROM json_each(?2) j JOIN segments s ON s.id = j.value
           WHERE s.content IN (SELECT content FROM named)"""
_CAPTIONS_QUERY = """SELECT d.segment, d.file
                       FROM json_each(?) j JOIN caption_images d ON d.segment = j.value"""

_OF_KINDS = """segments WHERE id IN (SELECT value FROM json_each(?))
                 AND kind IN (SELECT value FROM json_each(?))"""


class SegmentMap(NamedTuple):
    """The contents and the first segments of all files; an id is the position in an array, 0 is none."""

    contents: Ids  # of files
    segment_contents: Ids
    segment_kinds: Ids  # as the codes of their first letters, which differ
    first_segments: Ids  # of each content and kind, ascending

    @classmethod
    def read(cls, db: sqlite3.Connection) -> "SegmentMap":
        """Read the map from the catalog."""
        files, contents = _read_columns(
            db, ("id", "content"), f"files WHERE content IS NOT NULL AND {_NAMED_FILES}"
        )
        ids, segment_contents, kinds = _read_columns(db, ("id", "content", "unicode(kind)"), "segments")
        order = np.lexsort((ids, kinds, segment_contents))
        is_first = np.diff(segment_contents[order], prepend=-1) != 0
        is_first |= np.diff(kinds[order], prepend=-1) != 0
        arrays = _scatter(files, contents), _scatter(ids, segment_contents), _scatter(ids, kinds)
        return cls(*arrays, np.sort(ids[order[is_first]]))

    def find(self, files: Ids, matched_ids: Ids) -> Ids:
        """Return the first segments of files, and their segments among `matched_ids`, ascending."""
        named = self.contents[files[files < len(self.contents)]]
        known = matched_ids[matched_ids < len(self.segment_contents)]
        candidates = union(self.first_segments, known)
        return candidates[is_member(self.segment_contents[candidates], named[named > 0])]

    def filter_by_kind(self, ids: Ids, kinds: Collection[Kind]) -> Ids:
        """Return the segments of these kinds, in order."""
        known = ids[ids < len(self.segment_kinds)]
        return known[np.isin(self.segment_kinds[known], [ord(kind[0]) for kind in kinds])]


@dataclass(slots=True)
class _Version:
    """A version of the library, and its map once that was read."""

    change_count: int
    joined: int = 0  # files that were found without the map
    map: SegmentMap | None = None


class NamedSegments:
    """The segments that names match; a map of all is kept while the library does not change.

    Threads share it. One that still reads an older version must not store its map as that of a newer one.
    """

    def __init__(self) -> None:
        self._version = _Version(-1)  # the one that was searched last

    def find(self, db: sqlite3.Connection, files: Ids, matched_ids: Ids, change_count: int) -> Ids:
        """Return the segments that the names of `files` match, ascending; `matched_ids` have other words."""
        if not len(files):
            return files
        segment_map = self._find_map(db, len(files), change_count)
        if segment_map is not None:
            ids = segment_map.find(files, matched_ids)
        else:
            values = json.dumps(files.tolist()), json.dumps(matched_ids.tolist())
            (ids,) = _read_columns(db, ("id",), f"({_NAMED_SEGMENTS_QUERY})", values)
        if not len(matched_ids):
            return union(ids)
        captions, images = _read_columns(
            db, ("segment", "file"), f"({_CAPTIONS_QUERY})", (json.dumps(matched_ids.tolist()),)
        )
        return union(ids, captions[is_member(images, files)])

    def _find_map(self, db: sqlite3.Connection, count: int, change_count: int) -> SegmentMap | None:
        """Return the map if it saves time for further `count` files, else None."""
        version = self._version
        if version.change_count != change_count:
            version = self._version = _Version(change_count)
        if version.map is None and _is_map_due(db, count, version.joined):
            version.map = SegmentMap.read(db)
        if version.map is None:
            version.joined += count
        return version.map

    def filter_by_kind(
        self, db: sqlite3.Connection, ids: Ids, kinds: Collection[Kind], change_count: int
    ) -> Ids:
        """Return the segments of these kinds, ascending if `ids` are."""
        version = self._version
        if version.map is not None and version.change_count == change_count:
            return version.map.filter_by_kind(ids, kinds)
        values = json.dumps(ids.tolist()), json.dumps(sorted(kinds))
        return _read_columns(db, ("id",), _OF_KINDS, values)[0]


def _is_map_due(db: sqlite3.Connection, count: int, joined: int) -> bool:
    if count > MAX_JOINED_FILES:
        return True
    if joined <= MIN_MAPPED_FILES:
        return False
    (segments,) = db.execute("SELECT max(id) FROM segments").fetchone()
    return count > MIN_MAPPED_FILES or joined > MIN_MAPPED_SHARE * (segments or 0)


def _read_columns(
    db: sqlite3.Connection, columns: Sequence[str], rows: str, values: Sequence[object] = ()
) -> list[Ids]:
    """Return columns of whole numbers; read as texts, three times as fast as rows."""
    texts = ", ".join(f"group_concat({column})" for column in columns)
    row = db.execute(f"SELECT {texts} FROM {rows}", values).fetchone()
    return [np.fromstring(text or "", np.int64, sep=",") for text in row]


def _scatter(positions: Ids, values: Ids) -> Ids:
    """Return an array with values at the given positions, and 0 elsewhere."""
    scattered = np.zeros(positions.max(initial=0) + 1, np.int64)
    scattered[positions] = values
    return scattered
