"""Read the attributes of files and hits by which they are grouped."""

import json
import os
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from retrieval.catalog.hit_rows import join_path
from retrieval.catalog.reader import Catalog
from retrieval.file_systems import as_path
from retrieval.grouping.similarity import FileComparison, mean_similarity, similarity_function
from retrieval.media.archives.archive import split_archive_path
from retrieval.normalization import nfc
from retrieval.types import FileAttributes, Hit, Space

BASELINE_SAMPLE_SIZE = 500  # images that determine the mean similarity

# For a caption, the content c is that of its image. `seen` is the segment of the image, `leaf` that of the
# page of a text.
_ATTRIBUTE_COLUMNS = """c.id AS content, c.width, c.height, c.taken, c.camera, c.perceptual_hash, c.sharpness,
       r.path AS root,
       (SELECT i.id FROM segments i WHERE i.content = c.id AND i.ordinal = 0 AND i.kind = 'image') AS seen,
       (SELECT i.id FROM segments i WHERE i.content = s.content AND i.ordinal < s.page AND i.page = s.page
           AND i.kind = 'page') AS leaf,
       (SELECT count(*) FROM segments i WHERE i.content = c.id AND i.kind = 'image' AND i.origin = 'file'
           AND i.box IS NULL) AS frames,
       f.mtime AS modified, 'offline' IN (f.state, r.state) AS offline"""


def load_file_attributes(catalog: Catalog, under: str = "") -> list[FileAttributes]:
    """Return the attributes of every file that is not gone, by path, without captions and empty files.

    `under` is a folder as in Filters. Online files are checked on disk: files that were deleted or changed
    since they were indexed are left out, and of several names of one file (links, and folders reached by
    links) only one is returned, so that no link is taken for a redundant copy. Offline files are left out if
    an online file has the same content: they may have been moved there.
    """
    rows = catalog.db.execute(
        f"""SELECT {_ATTRIBUTE_COLUMNS}, f.path, f.size, f.mtime, NULL AS start,
                   NULL AS "end", s.id AS segment,
                   s.kind
              FROM files f JOIN roots r ON r.id = f.root JOIN contents c ON c.id = f.content
              LEFT JOIN segments s ON s.content = c.id AND s.ordinal = 0
             WHERE f.state != 'gone' AND f.sidecar_of IS NULL AND f.size > 0 ORDER BY r.path, f.path"""
    )
    try:
        wanted = nfc(os.fsencode(under))
    except UnicodeEncodeError:  # no file can have such a name
        return []
    return _existing_files(
        [(row, _file_attributes(row)) for row in rows if _is_under(row, wanted)], catalog.archive_stats()
    )


def _existing_files(
    files: Sequence[tuple[sqlite3.Row, FileAttributes]], archives: Mapping[bytes, tuple[int, int]]
) -> list[FileAttributes]:
    """Return the files that are unchanged on disk, each by one name that is not a link if possible.

    Offline files are not checked. Files in an archive are unchanged if the archive is.
    """
    names = dict[tuple[int, int, bytes], tuple[bool, FileAttributes]]()
    offline_files = []
    for row, facts in files:
        if facts.offline:
            offline_files.append(facts)
            continue
        inside = split_archive_path(os.fsencode(facts.path)) if archives else None
        path_on_disk, name = inside or (os.fsencode(facts.path), b"")
        known_stat = archives.get(path_on_disk) if inside else (row["size"], row["mtime"])
        try:
            status = os.stat(path_on_disk)
        except (OSError, ValueError):
            continue
        if (status.st_size, status.st_mtime_ns) != known_stat:
            continue
        link = os.path.realpath(path_on_disk) != path_on_disk
        key = status.st_dev, status.st_ino, name
        known = names.get(key)
        if known is None or (known[0] and not link):
            names[key] = link, replace(facts, in_archive=inside is not None)
    online_files = [facts for _, facts in names.values()]
    online = {facts.content for facts in online_files}
    left = [facts for facts in offline_files if facts.content not in online]
    return sorted([*online_files, *left], key=lambda facts: os.fsencode(facts.path))


def load_hit_attributes(catalog: Catalog, hits: Sequence[Hit]) -> list[FileAttributes]:
    """Return the attributes of the file that each hit shows: the image of a caption, or its own."""
    shown = f'SELECT s.id AS hit, {_ATTRIBUTE_COLUMNS}, s.start, s."end", s.id AS segment, s.kind'
    rows = catalog.db.execute(
        f"""{shown}, coalesce(f.sidecar_of, f.path) AS path, coalesce(p.size, f.size) AS size
              FROM segments s JOIN files f ON f.content = s.content JOIN roots r ON r.id = f.root
              LEFT JOIN files p ON p.root = f.root AND p.path = f.sidecar_of
              JOIN contents c ON c.id = coalesce(p.content, f.content)
             WHERE s.id IN (SELECT value FROM json_each(?1)) AND f.state != 'gone'
             UNION ALL
            {shown}, f.path, f.size
              FROM caption_images d JOIN segments s ON s.id = d.segment JOIN files f ON f.id = d.file
              JOIN roots r ON r.id = f.root JOIN contents c ON c.id = f.content
             WHERE s.id IN (SELECT value FROM json_each(?1))""",
        (json.dumps([hit.id for hit in hits]),),
    )
    paths = {(hit.id, os.fsencode(hit.path)): hit.path for hit in hits}
    known = {
        (row["hit"], facts.path): facts
        for row in rows
        for facts in [_file_attributes(row, paths.get((row["hit"], _absolute_path(row))))]
    }
    return [
        known.get((hit.id, hit.path), FileAttributes(hit.path, content=-hit.id, segment=hit.id))
        for hit in hits
    ]


def segments_elsewhere(catalog: Catalog, paths: Mapping[int, Collection[bytes]]) -> list[int]:
    """Return those segments that have a file that is not gone at a path other than the given ones.

    Captions in tables are always returned. Paths are absolute.
    """
    rows = catalog.db.execute(
        """SELECT s.id, r.path, f.path FROM segments s JOIN files f ON f.content = s.content
             JOIN roots r ON r.id = f.root
            WHERE s.id IN (SELECT value FROM json_each(?1)) AND f.state != 'gone'
            UNION ALL
           SELECT segment, NULL, NULL FROM captions WHERE segment IN (SELECT value FROM json_each(?1))""",
        (json.dumps([*paths]),),
    )
    found = {id_ for id_, root, path in rows if root is None or join_path(root, path) not in paths[id_]}
    return [id_ for id_ in paths if id_ in found]


def compare_files(catalog: Catalog, space: Space, files: Sequence[FileAttributes]) -> FileComparison:
    """Return the comparison of files, with a baseline of similarity from a sample of their images."""
    seen = np.array(sorted({file.segment for file in files if file.kind == "image"}), np.int64)
    some = seen[np.linspace(0, len(seen) - 1, min(BASELINE_SAMPLE_SIZE, len(seen)), dtype=np.int64)]
    return comparison_of(catalog, space, files, mean_similarity(catalog.vectors_of(space, some)[1]))


def comparison_of(
    catalog: Catalog, space: Space, files: Sequence[FileAttributes], baseline: float
) -> FileComparison:
    """Return the comparison of files with a known baseline of similarity."""
    from retrieval.grouping.image_comparison import PixelComparison  # imports Pillow

    segments = np.array([file.segment for file in files], np.int64)
    return FileComparison(
        similarity_function(catalog, space, segments, baseline), PixelComparison(catalog, files)
    )


def _absolute_path(row: sqlite3.Row) -> bytes:
    return os.path.join(row["root"], row["path"])  # type: ignore[no-any-return]


def _file_attributes(row: sqlite3.Row, path: Path | None = None) -> FileAttributes:
    """Return the attributes of a row; `path` is its path, if there is one that need not be parsed."""
    seen, leaf = row["seen"], row["leaf"]
    return FileAttributes(
        path=path or as_path(os.fsdecode(_absolute_path(row))),
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
        frames=row["frames"],
        modified=row["modified"],
        start=row["start"] if seen is None else None,
        end=row["end"] if seen is None else None,
        offline=bool(row["offline"]),
    )


def _is_under(row: sqlite3.Row, under: bytes) -> bool:
    """Return True if a file is in a folder: an absolute path, or folder names anywhere in the path."""
    path: bytes = nfc(_absolute_path(row))
    if under.startswith(b"/"):
        return path.startswith(under.rstrip(b"/") + b"/")
    return not under or b"/" + under.strip(b"/") + b"/" in path
