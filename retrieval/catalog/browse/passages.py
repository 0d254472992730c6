"""Read a passage with its neighbors, and the text that was recognized on a page."""

import json
from dataclasses import dataclass

from retrieval.catalog.reader import Catalog


@dataclass(frozen=True, slots=True)
class NearbyPassage:
    """A text of a file, and its place in the file."""

    id: int
    text: str
    start: float | None  # the first line, or seconds
    end: float | None
    page: int | None
    is_current: bool


def passages_around(catalog: Catalog, segment: int, count: int) -> list[NearbyPassage]:
    """Return a passage with up to `count` passages of the same file and origin before and after it."""
    rows = catalog.db.execute(
        """WITH own AS (SELECT * FROM segments WHERE id = ?1),
                near AS (SELECT s.* FROM segments s JOIN own USING (content, origin) WHERE s.text IS NOT NULL)
           SELECT * FROM (SELECT * FROM near WHERE ordinal <= (SELECT ordinal FROM own)
                           ORDER BY ordinal DESC LIMIT ?2 + 1)
            UNION ALL
           SELECT * FROM (SELECT * FROM near WHERE ordinal > (SELECT ordinal FROM own)
                           ORDER BY ordinal LIMIT ?2)
            ORDER BY ordinal""",
        (segment, count),
    )
    return [
        NearbyPassage(row["id"], row["text"], row["start"], row["end"], row["page"], row["id"] == segment)
        for row in rows
    ]


def recognized_on_page(catalog: Catalog, segment: int) -> list[tuple[str, tuple[int, int, int, int]]]:
    """Return the texts, with their boxes, that were recognized on the page of a segment."""
    rows = catalog.db.execute(
        """SELECT s.text, s.box FROM segments own JOIN segments s ON s.content = own.content
              AND s.page IS own.page AND s.origin = 'ocr'
            WHERE own.id = ? AND s.text IS NOT NULL AND s.box IS NOT NULL ORDER BY s.ordinal""",
        (segment,),
    )
    return [(text, tuple(json.loads(box))) for text, box in rows]
