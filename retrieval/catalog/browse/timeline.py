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
# Each content once, at its newest time, with its first segment.
_FIRST_SEGMENTS = f"""FROM files f CROSS JOIN segments s ON s.content = f.content
 WHERE f.state != 'gone' AND f.sidecar_of IS NULL AND f.{DESCRIBES_ITSELF}
   AND s.ordinal = (SELECT min(o.ordinal) FROM segments o WHERE o.content = f.content)
   AND NOT EXISTS (SELECT 1 FROM files o WHERE o.content = f.content AND o.state != 'gone'
                      AND o.sidecar_of IS NULL AND (o.time, o.id) > (f.time, f.id))"""


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
             WHERE f.state != 'gone' AND f.sidecar_of IS NULL AND f.{DESCRIBES_ITSELF} AND c.segments > 0
             GROUP BY f.content) GROUP BY 1 ORDER BY 1 DESC"""
        rows = catalog.db.execute(query).fetchall()
    else:
        tests, values = _tests(filters)
        query = f"SELECT substr(f.time, 1, 7), count(*) {_from(tests)} GROUP BY 1 ORDER BY 1 DESC"
        rows = catalog.db.execute(query, values).fetchall()
    months = {month: count for month, count in rows if len(month) == 7}
    return Timeline(months, sum(count for month, count in rows if len(month) != 7))


def kinds_of_files(catalog: Catalog, filters: Filters) -> dict[str, int]:
    """Return the number of files of each kind that pass the filters, as `files_of_month` lists them."""
    if filters == Filters():
        query = f"""SELECT (SELECT s.kind FROM segments s WHERE s.content = c.id ORDER BY s.ordinal LIMIT 1),
                   count(*) FROM contents c
             WHERE c.segments > 0 AND EXISTS (SELECT 1 FROM files f WHERE f.content = c.id
               AND f.state != 'gone' AND f.sidecar_of IS NULL AND f.{DESCRIBES_ITSELF}) GROUP BY 1"""
        return dict(catalog.db.execute(query).fetchall())
    tests, values = _tests(filters)
    return dict(catalog.db.execute(f"SELECT s.kind, count(*) {_from(tests)} GROUP BY 1", values).fetchall())


def files_of_month(
    catalog: Catalog, month: str, filters: Filters, offset: int = 0, limit: int = MAX_LISTED
) -> tuple[list[Hit], dict[int, Display]]:
    """Return files of a month, newest first, each by its first segment, and how they are drawn."""
    tests, values = _tests(filters)
    query = f"""SELECT {HIT_COLUMNS}, f.path, NULL AS image_path, 'offline' IN (f.state, r.state) AS offline
        {_from(tests)} AND f.time >= ? AND f.time < ? ORDER BY f.time DESC, f.id DESC LIMIT ? OFFSET ?"""
    rows = catalog.db.execute(query, (*values, month, f"{month}~", limit, offset)).fetchall()
    hits = [hit_from_row(row, "") for row in rows]
    return hits, display_of(catalog, hits)


def _from(tests: str) -> str:
    joined = _FIRST_SEGMENTS.replace(
        "CROSS JOIN segments", "CROSS JOIN roots r ON r.id = f.root CROSS JOIN segments"
    )
    return f"{joined} AND {tests}"


def _tests(filters: Filters) -> tuple[str, list[object]]:
    tests, values = where_clause(filters, per_row=True)
    kinds = ", ".join(f"'{kind}'" for kind in sorted(filters.kinds))
    return tests + (f" AND s.kind IN ({kinds})" if kinds else ""), values
