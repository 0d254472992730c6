"""Read a passage with its neighbors."""

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
