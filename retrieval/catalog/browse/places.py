"""Read where segments were taken."""

import json
from collections.abc import Iterable

from retrieval.catalog.reader import Catalog

_PLACES = """SELECT s.id, c.latitude, c.longitude FROM segments s JOIN files f ON f.content = s.content
  JOIN described_by d ON d.file = f.id JOIN contents c ON c.id = d.content
 WHERE s.id IN (SELECT value FROM json_each(?)) AND f.state != 'gone' AND c.latitude IS NOT NULL"""


def places_of(catalog: Catalog, segments: Iterable[int]) -> dict[int, tuple[float, float]]:
    """Return latitude and longitude of each of some segments whose place is known."""
    rows = catalog.db.execute(_PLACES, (json.dumps([*segments]),))
    return {segment: (latitude, longitude) for segment, latitude, longitude in rows}
