"""Read from the catalogue what decides which files and hits belong together."""

import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from retrieval.catalog.reader import Catalog
from retrieval.grouping.similarity import Likeness, likeness_of, usual
from retrieval.media.archives.archive import archive_of
from retrieval.types import Facts, Hit, Ids, Space

SAMPLE = 500  # pictures that say how alike any two are

# The content c is that of the picture where a caption was found; `seen` is its picture's segment, `leaf` that
# of the page on which a text stands.
_FACTS = """c.id AS content, c.width, c.height, c.taken, c.camera, c.perceptual_hash, c.sharpness,
       r.path AS root,
       (SELECT i.id FROM segments i WHERE i.content = c.id AND i.ordinal = 0 AND i.kind = 'image') AS seen,
       (SELECT i.id FROM segments i WHERE i.content = s.content AND i.ordinal < s.page AND i.page = s.page
           AND i.kind = 'page') AS leaf,
       'offline' IN (f.state, r.state) AS offline"""


def facts_of_files(catalog: Catalog, under: str = "") -> list[Facts]:
    """Return what is known of every file that is not gone, by path; captions belong to their pictures.

    `under` is a folder as in Filters. Empty files hold nothing to have twice. What lies on a disk that is
    there is looked at: a file that has gone or changed since it was indexed is left out, and of several
    names of one file (links, and folders reached by links) only one counts, so that no name is taken for a
    copy that could be spared.
    """
    rows = catalog.db.execute(
        f"""SELECT {_FACTS}, f.path, f.size, f.mtime, NULL AS start, NULL AS "end", s.id AS segment, s.kind
              FROM files f JOIN roots r ON r.id = f.root JOIN contents c ON c.id = f.content
              LEFT JOIN segments s ON s.content = c.id AND s.ordinal = 0
             WHERE f.state != 'gone' AND f.picture IS NULL AND f.size > 0 ORDER BY r.path, f.path"""
    )
    try:
        wanted = os.fsencode(under)
    except UnicodeEncodeError:  # no file has such a name
        return []
    return _present([(row, _facts(row)) for row in rows if _is_under(row, wanted)], catalog.archives())


def _present(
    files: Sequence[tuple[sqlite3.Row, Facts]], archives: Mapping[bytes, tuple[int, int]]
) -> list[Facts]:
    """Return the files as they are on disk now, each by one name, the plainest; those offline unseen.

    What is in an archive is there if the archive is as it was.
    """
    names = dict[tuple[int, int, bytes], tuple[bool, Facts]]()
    away = []
    for row, facts in files:
        if facts.offline:
            away.append(facts)
            continue
        inside = archive_of(os.fsencode(facts.path)) if archives else None
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
            names[key] = link, replace(facts, inside=inside is not None)
    return sorted([*away, *(facts for _, facts in names.values())], key=lambda facts: os.fsencode(facts.path))


def facts_of_hits(catalog: Catalog, hits: Sequence[Hit]) -> list[Facts]:
    """Return what is known of what each hit shows: a caption's picture, a text's page, or itself."""
    shown = f'SELECT s.id AS hit, {_FACTS}, s.start, s."end", s.id AS segment, s.kind'
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
    known = {(row["hit"], facts.path): facts for row in rows for facts in [_facts(row)]}
    return [known.get((hit.id, hit.path), Facts(hit.path, content=-hit.id, segment=hit.id)) for hit in hits]


def likeness_of_files(catalog: Catalog, space: Space, facts: Sequence[Facts]) -> Likeness:
    """Return how alike these are by their vectors; what is usual is learned from pictures all over them."""
    seen = np.array(sorted({each.segment for each in facts if each.kind == "image"}), np.int64)
    some = seen[np.linspace(0, len(seen) - 1, min(SAMPLE, len(seen)), dtype=np.int64)]
    return likeness_of(catalog, space, segments(facts), usual(catalog.vectors_of(space, some)[1]))


def segments(facts: Sequence[Facts]) -> Ids:
    """Return the segment of each, (n,)."""
    return np.array([each.segment for each in facts], np.int64)


def _facts(row: sqlite3.Row) -> Facts:
    seen, leaf = row["seen"], row["leaf"]
    return Facts(
        path=Path(os.fsdecode(os.path.join(row["root"], row["path"]))),
        content=row["content"],
        segment=next((id_ for id_ in (seen, leaf, row["segment"]) if id_ is not None), -1),
        kind="image" if seen is not None else "page" if leaf is not None else row["kind"],
        size=row["size"],
        width=row["width"],
        height=row["height"],
        taken=row["taken"],
        camera=row["camera"],
        looks=None if row["perceptual_hash"] is None else int.from_bytes(row["perceptual_hash"]),
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
