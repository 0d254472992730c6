"""Read from the catalogue what decides which files and hits belong together."""

import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from retrieval.catalog.reader import Catalog
from retrieval.grouping.similarity import SimilarityFunction, mean_similarity, similarity_function
from retrieval.media.archives.archive import split_archive_path
from retrieval.types import FileAttributes, Hit, Ids, Space

BASELINE_SAMPLE_SIZE = 500  # pictures that say how alike any two are

# The content c is that of the picture where a caption was found; `seen` is its picture's segment, `leaf` that
# of the page on which a text stands.
_ATTRIBUTE_COLUMNS = """c.id AS content, c.width, c.height, c.taken, c.camera, c.perceptual_hash, c.sharpness,
       r.path AS root,
       (SELECT i.id FROM segments i WHERE i.content = c.id AND i.ordinal = 0 AND i.kind = 'image') AS seen,
       (SELECT i.id FROM segments i WHERE i.content = s.content AND i.ordinal < s.page AND i.page = s.page
           AND i.kind = 'page') AS leaf,
       'offline' IN (f.state, r.state) AS offline"""


def load_file_attributes(catalog: Catalog, under: str = "") -> list[FileAttributes]:
    """Return what is known of every file that is not gone, by path; captions belong to their pictures.

    `under` is a folder as in Filters. Empty files hold nothing to have twice. What lies on a disk that is
    there is looked at: a file that has gone or changed since it was indexed is left out, and of several
    names of one file (links, and folders reached by links) only one counts, so that no name is taken for a
    copy that could be spared.
    """
    rows = catalog.db.execute(
        f"""SELECT {_ATTRIBUTE_COLUMNS}, f.path, f.size, f.mtime, NULL AS start,
                   NULL AS "end", s.id AS segment,
                   s.kind
              FROM files f JOIN roots r ON r.id = f.root JOIN contents c ON c.id = f.content
              LEFT JOIN segments s ON s.content = c.id AND s.ordinal = 0
             WHERE f.state != 'gone' AND f.picture IS NULL AND f.size > 0 ORDER BY r.path, f.path"""
    )
    try:
        wanted = os.fsencode(under)
    except UnicodeEncodeError:  # no file has such a name
        return []
    return _existing_files(
        [(row, _file_attributes(row)) for row in rows if _is_under(row, wanted)], catalog.archive_stats()
    )


def _existing_files(
    files: Sequence[tuple[sqlite3.Row, FileAttributes]], archives: Mapping[bytes, tuple[int, int]]
) -> list[FileAttributes]:
    """Return the files as they are on disk now, each by one name, the plainest; those offline unseen.

    What is in an archive is there if the archive is as it was.
    """
    names = dict[tuple[int, int, bytes], tuple[bool, FileAttributes]]()
    away = []
    for row, facts in files:
        if facts.offline:
            away.append(facts)
            continue
        inside = split_archive_path(os.fsencode(facts.path)) if archives else None
        place, name = inside or (os.fsencode(facts.path), b"")
        was = archives.get(place) if inside else (row["size"], row["mtime"])
        try:
            now = os.stat(place)
        except (OSError, ValueError):
            continue
        if (now.st_size, now.st_mtime_ns) != was:
            continue
        link = os.path.realpath(place) != place
        key = now.st_dev, now.st_ino, name
        known = names.get(key)
        if known is None or (known[0] and not link):
            names[key] = link, replace(facts, in_archive=inside is not None)
    return sorted([*away, *(facts for _, facts in names.values())], key=lambda facts: os.fsencode(facts.path))


def load_hit_attributes(catalog: Catalog, hits: Sequence[Hit]) -> list[FileAttributes]:
    """Return what is known of what each hit shows: a caption's picture, a text's page, or itself."""
    shown = f'SELECT s.id AS hit, {_ATTRIBUTE_COLUMNS}, s.start, s."end", s.id AS segment, s.kind'
    rows = catalog.db.execute(
        f"""{shown}, coalesce(f.picture, f.path) AS path, coalesce(p.size, f.size) AS size
              FROM segments s JOIN files f ON f.content = s.content JOIN roots r ON r.id = f.root
              LEFT JOIN files p ON p.root = f.root AND p.path = f.picture
              JOIN contents c ON c.id = coalesce(p.content, f.content)
             WHERE s.id IN (SELECT value FROM json_each(?1)) AND f.state != 'gone'
             UNION ALL
            {shown}, f.path, f.size
              FROM caption_images d JOIN segments s ON s.id = d.segment JOIN files f ON f.id = d.file
              JOIN roots r ON r.id = f.root JOIN contents c ON c.id = f.content
             WHERE s.id IN (SELECT value FROM json_each(?1))""",
        (json.dumps([hit.id for hit in hits]),),
    )
    known = {(row["hit"], facts.path): facts for row in rows for facts in [_file_attributes(row)]}
    return [
        known.get((hit.id, hit.path), FileAttributes(hit.path, content=-hit.id, segment=hit.id))
        for hit in hits
    ]


def file_similarity_function(
    catalog: Catalog, space: Space, files: Sequence[FileAttributes]
) -> SimilarityFunction:
    """Return how alike these are by their vectors; what is usual is learned from pictures all over them."""
    seen = np.array(sorted({each.segment for each in files if each.kind == "image"}), np.int64)
    some = seen[np.linspace(0, len(seen) - 1, min(BASELINE_SAMPLE_SIZE, len(seen)), dtype=np.int64)]
    return similarity_function(
        catalog, space, segment_ids(files), mean_similarity(catalog.vectors_of(space, some)[1])
    )


def segment_ids(files: Sequence[FileAttributes]) -> Ids:
    """Return the segment of each, (n,)."""
    return np.array([each.segment for each in files], np.int64)


def _file_attributes(row: sqlite3.Row) -> FileAttributes:
    seen, leaf = row["seen"], row["leaf"]
    return FileAttributes(
        path=Path(os.fsdecode(os.path.join(row["root"], row["path"]))),
        content=row["content"],
        segment=next((id_ for id_ in (seen, leaf, row["segment"]) if id_ is not None), -1),
        kind="image" if seen is not None else "page" if leaf is not None else row["kind"],
        size=row["size"],
        width=row["width"],
        height=row["height"],
        taken=row["taken"],
        camera=row["camera"],
        perceptual_hash=None if row["perceptual_hash"] is None else int.from_bytes(row["perceptual_hash"]),
        sharpness=row["sharpness"],
        start=row["start"] if seen is None else None,
        end=row["end"] if seen is None else None,
        offline=bool(row["offline"]),
    )


def _is_under(row: sqlite3.Row, under: bytes) -> bool:
    """Say whether a file is in a folder: absolute, or a run of folder names anywhere in the path."""
    path: bytes = os.path.join(row["root"], row["path"])
    if under.startswith(b"/"):
        return path.startswith(under.rstrip(b"/") + b"/")
    return not under or b"/" + under.strip(b"/") + b"/" in path
