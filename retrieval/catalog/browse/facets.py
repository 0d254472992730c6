"""Count the values of filters."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from retrieval.catalog.browse.timeline import kinds_of_files, timeline
from retrieval.catalog.filter_sql import is_of_files, where_clause
from retrieval.catalog.reader import Catalog
from retrieval.types import Filters

MAX_FOLDERS = 200  # the folders with the most files
MAX_NAMES = 200  # cameras and tags
_FILES = "FROM files f JOIN roots r ON r.id = f.root WHERE f.state != 'gone' AND f.sidecar_of IS NULL"


@dataclass(frozen=True, slots=True)
class Facets:
    """The values of filters with the number of their files; of tags, the number of segments."""

    kinds: dict[str, int] = field(default_factory=dict)
    years: dict[str, int] = field(default_factory=dict)
    months: dict[str, int] = field(default_factory=dict)
    cameras: dict[str, int] = field(default_factory=dict)
    folders: dict[str, int] = field(default_factory=dict)
    tags: dict[str, int] = field(default_factory=dict)


def facets(catalog: Catalog, filters: Filters) -> Facets:
    """Return the values of the files that pass the filters."""
    times = timeline(catalog, filters)
    allowed = None if filters == Filters() else catalog.allowed_ids(filters)
    segments = "" if allowed is None else " AND s.id IN (SELECT value FROM json_each(?))"
    values = [] if allowed is None else [f"[{','.join(map(str, allowed.tolist()))}]"]
    among = (
        "" if allowed is None else f" AND f.content IN (SELECT s.content FROM segments s WHERE 1{segments})"
    )
    cameras = catalog.db.execute(
        f"""SELECT c.camera, count(*) FROM contents c WHERE c.camera > '' AND EXISTS (
              SELECT 1 FROM files f WHERE f.content = c.id AND f.state != 'gone'{among})
             GROUP BY 1 ORDER BY 2 DESC LIMIT {MAX_NAMES}""",
        values,
    )
    keywords = catalog.db.execute(
        f"""SELECT k.name, count(*) FROM keywords k WHERE EXISTS (
              SELECT 1 FROM files f WHERE f.content = k.content AND f.state != 'gone'{among})
             GROUP BY 1 ORDER BY 2 DESC LIMIT {MAX_NAMES}""",
        values,
    )
    labels = catalog.db.execute(
        f"""SELECT t.name, count(*) FROM tags t JOIN segments s ON s.id = t.segment
             WHERE EXISTS (SELECT 1 FROM files f WHERE f.content = s.content AND f.state != 'gone'){segments}
             GROUP BY 1 ORDER BY 2 DESC LIMIT {MAX_NAMES}""",
        values,
    )
    tags = Counter[str]()
    for name, count in [*keywords, *labels]:
        tags[name] += count
    return Facets(
        kinds=kinds_of_files(catalog, filters),
        years=times.years,
        months=times.months,
        cameras=dict(cameras.fetchall()),
        folders=_folders(catalog, filters, among, values),
        tags=dict(tags.most_common(MAX_NAMES)),
    )


def cameras_of(catalog: Catalog, segments: Sequence[int]) -> dict[int, str]:
    """Return the camera of each segment that has one."""
    rows = catalog.db.execute(
        """SELECT s.id, c.camera FROM segments s JOIN contents c ON c.id = s.content
            WHERE s.id IN (SELECT value FROM json_each(?)) AND c.camera > ''""",
        (json.dumps(segments),),
    )
    return dict(rows.fetchall())


def _folders(catalog: Catalog, filters: Filters, among: str, values: Sequence[str]) -> dict[str, int]:
    """Return the folders, as paths, with the number of files directly in them.

    Copies of a content that passes are counted if they pass the filters of files themselves.
    """
    counts = Counter[bytes]()
    excluded = tuple(each for each in filters.none if is_of_files(each))
    of_files = Filters(under=filters.under, after=filters.after, before=filters.before, none=excluded)
    tests, more = where_clause(of_files, per_row=True)
    query = f"SELECT r.path, f.path {_FILES} AND f.content IS NOT NULL{among} AND {tests}"
    rows = catalog.db.execute(query, (*values, *more))
    rows.row_factory = None
    for root, path in rows:
        counts[os.path.join(root, path.rpartition(b"/")[0]).rstrip(b"/")] += 1
    return {os.fsdecode(folder): count for folder, count in counts.most_common(MAX_FOLDERS)}
