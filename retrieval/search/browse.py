"""The ranking of a search without a query: the files that pass the filters, newest first."""

from collections.abc import Iterator
from heapq import merge
from itertools import islice
from pathlib import Path

from retrieval.catalog.filter_sql import where_clause
from retrieval.catalog.hit_rows import HIT_COLUMNS, hit_from_row
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import DESCRIBES_ITSELF
from retrieval.search.request import SearchRequest
from retrieval.search.results import name_key
from retrieval.types import Filters, Hit, Kind, SortOrder

PAGE_SIZE = 256  # segments that are compared with the exclusions at once
# CROSS JOIN keeps the files outside, so that they are read in the order of their index by time.
_FILES = f"""SELECT {HIT_COLUMNS}, f.path, f.sidecar_of AS image_path,
       'offline' IN (f.state, r.state) AS offline
  FROM files f CROSS JOIN roots r ON r.id = f.root CROSS JOIN segments s ON s.content = f.content
 WHERE f.state != 'gone' AND f.{DESCRIBES_ITSELF}"""
_TABLE_CAPTIONS = f"""SELECT {HIT_COLUMNS}, t.path, f.path AS image_path,
       'offline' IN (f.state, t.state, r.state) AS offline
  FROM files f CROSS JOIN roots r ON r.id = f.root CROSS JOIN caption_images d ON d.file = f.id
  CROSS JOIN segments s ON s.id = d.segment CROSS JOIN files t ON t.id = d.source
 WHERE 1"""
_PATH = "rtrim(CAST(r.path AS TEXT), '/') || '/' || CAST({path} AS TEXT)"
_FILE_NAME = f"lower(substr({_PATH}, length(rtrim({_PATH}, replace({_PATH}, '/', ''))) + 1))"
_ORDERS = {
    "date": "f.time, f.id",
    "date-desc": "f.time DESC, f.id DESC",
    "name": f"{_FILE_NAME}, {_PATH}",  # as `name_key` compares
}


class FileRanking:
    """A ranking of files by date or name, each by its first segment that passes; evaluated on demand."""

    def __init__(
        self, request: SearchRequest, order: SortOrder = "score", page_size: int = PAGE_SIZE
    ) -> None:
        self._hits: list[Hit] = []
        self._rest = _first_of_each_file(request, order, page_size)

    def top(self, count: int) -> list[Hit]:
        """Return the first `count` files, fewer only if no more exist."""
        self._hits += islice(self._rest, max(0, count - len(self._hits)))
        return self._hits[:count]


def _first_of_each_file(request: SearchRequest, order: SortOrder, page_size: int) -> Iterator[Hit]:
    seen, ended = set[Path](), set[Kind]()
    segments = _list_segments(request.catalog, request.filters, order, request.space_index.space.name)
    while page := list(islice(segments, page_size)):
        ended |= {
            kind for kind in {hit.kind for hit in page} if request.exclusion_filter.is_exhausted([kind])
        }
        if ended and ended.issuperset(request.filters.kinds or request.catalog.kinds()):
            return
        for hit in request.exclusion_filter.apply([hit for hit in page if hit.kind not in ended]):
            if hit.path not in seen:
                seen.add(hit.path)
                yield hit


def _list_segments(catalog: Catalog, filters: Filters, order: SortOrder, space: str) -> Iterator[Hit]:
    """Yield the segments that pass, those of one file in a row; the default order is newest first.

    Captions are listed only if the kind text is requested; otherwise their images are.
    """
    tests, values = where_clause(filters, per_row=True)
    kinds = ", ".join(f"'{kind}'" for kind in sorted(filters.kinds))
    tests += f" AND +s.kind IN ({kinds})" if kinds else ""
    ordering = _ORDERS.get(order, _ORDERS["date-desc"])

    def hits(query: str, path: str) -> Iterator[Hit]:
        condition = f"{tests} ORDER BY {ordering.format(path=path)}, s.ordinal"
        return (hit_from_row(row, space) for row in catalog.db.execute(f"{query} AND {condition}", values))

    if "text" not in filters.kinds:
        return hits(f"{_FILES} AND f.sidecar_of IS NULL", "f.path")
    listings = hits(_FILES, "coalesce(f.sidecar_of, f.path)"), hits(_TABLE_CAPTIONS, "f.path")
    if order == "name":
        return merge(*listings, key=name_key)
    return merge(*listings, key=lambda hit: hit.time or "", reverse=order != "date")
