"""Count files by month, and list those of one.

Files are those of a listing without a query: each content once, without captions and tables.
"""

from dataclasses import dataclass, field

from retrieval.catalog.browse.display import Display, display_of
from retrieval.catalog.filter_sql import where_clause
from retrieval.catalog.hit_rows import HIT_COLUMNS, hit_from_row
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import DESCRIBES_ITSELF
from retrieval.types import Filters, Hit

MAX_LISTED = 2_000  # files of an answer
_LISTED = f"f.state != 'gone' AND f.sidecar_of IS NULL AND f.{DESCRIBES_ITSELF}"


@dataclass(frozen=True, slots=True)
class Timeline:
    """The number of files in each month, newest first."""

    months: dict[str, int] = field(default_factory=dict)  # "2022-06" -> files
    undated: int = 0

    @property
    def total(self) -> int:
        """Return the number of all files."""
        return sum(self.months.values()) + self.undated

    @property
    def years(self) -> dict[str, int]:
        """Return the number of files in each year, newest first."""
        years: dict[str, int] = {}
        for month, count in self.months.items():
            years[month[:4]] = years.get(month[:4], 0) + count
        return years


def timeline(catalog: Catalog, filters: Filters) -> Timeline:
    """Return the number of files in each month that pass the filters."""
    if filters == Filters():
        query = f"""SELECT substr(time, 1, 7) AS month, count(*) FROM (
            SELECT max(f.time) AS time FROM files f CROSS JOIN contents c ON c.id = f.content
             WHERE {_LISTED} AND c.segments > 0
             GROUP BY f.content) GROUP BY 1 ORDER BY 1 DESC"""
        rows = catalog.db.execute(query).fetchall()
    else:
        files, values = _first_segments(filters)
        query = f"SELECT substr(f.time, 1, 7), count(*) {files} GROUP BY 1 ORDER BY 1 DESC"
        rows = catalog.db.execute(query, values).fetchall()
    months = {month: count for month, count in rows if len(month) == 7}
    return Timeline(months, sum(count for month, count in rows if len(month) != 7))


def kinds_of_files(catalog: Catalog, filters: Filters) -> dict[str, int]:
    """Return the number of files of each kind that pass the filters, as `files_of_month` lists them."""
    if filters == Filters():
        query = f"""SELECT (SELECT s.kind FROM segments s WHERE s.content = c.id ORDER BY s.ordinal LIMIT 1),
                   count(*) FROM contents c
             WHERE c.segments > 0 AND EXISTS (SELECT 1 FROM files f WHERE f.content = c.id AND {_LISTED})
             GROUP BY 1"""
        return dict(catalog.db.execute(query).fetchall())
    files, values = _first_segments(filters)
    return dict(catalog.db.execute(f"SELECT s.kind, count(*) {files} GROUP BY 1", values).fetchall())


def files_of_month(
    catalog: Catalog, month: str, filters: Filters, offset: int = 0, limit: int = MAX_LISTED
) -> tuple[list[Hit], dict[int, Display]]:
    """Return files of a month, newest first, each by its first segment, and how they are drawn."""
    files, values = _first_segments(filters)
    query = f"""SELECT {HIT_COLUMNS}, f.path, NULL AS image_path, 'offline' IN (f.state, r.state) AS offline
        {files} AND f.time >= ? AND f.time < ? ORDER BY f.time DESC, f.id DESC LIMIT ? OFFSET ?"""
    rows = catalog.db.execute(query, (*values, month, f"{month}~", limit, offset)).fetchall()
    hits = [hit_from_row(row, "") for row in rows]
    return hits, display_of(catalog, hits)


def _first_segments(filters: Filters) -> tuple[str, list[object]]:
    """Return the tables and tests of files that pass, each content once, with its first segment.

    Of the copies of a content that pass the newest is chosen. Most contents have no copy, so a newer one that
    may not pass is sought first.
    """
    tests, values = where_clause(filters, per_row=True)
    kinds = ", ".join(f"'{kind}'" for kind in sorted(filters.kinds))
    tests += f" AND s.kind IN ({kinds})" if kinds else ""
    files = f"""FROM files f CROSS JOIN roots r ON r.id = f.root
         CROSS JOIN segments s ON s.content = f.content WHERE {_LISTED}
           AND s.ordinal = (SELECT min(o.ordinal) FROM segments o WHERE o.content = f.content)
           AND {tests} AND (NOT EXISTS (SELECT 1 FROM files o WHERE o.content = f.content
                AND o.state != 'gone' AND o.sidecar_of IS NULL AND (o.time, o.id) > (f.time, f.id))
             OR f.id = (SELECT f.id FROM files f JOIN roots r ON r.id = f.root
                WHERE f.content = s.content AND {_LISTED} AND {tests}
                ORDER BY f.time DESC, f.id DESC LIMIT 1))"""
    return files, [*values, *values]
