"""Read the captions of segments."""

import json
from collections.abc import Iterable

from retrieval.catalog.reader import Catalog

# In the file itself, in its sidecars, and in tables. Subtitles, which have times, describe only a moment.
_CAPTIONS = """WITH shown (segment, file, root, path, content) AS (
  SELECT s.id, f.id, f.root, f.path, f.content FROM segments s JOIN files f ON f.content = s.content
   WHERE s.id IN (SELECT value FROM json_each(?)) AND f.state != 'gone')
SELECT p.segment, s.text FROM shown p JOIN segments s ON s.content = p.content
 WHERE s.kind = 'text' AND s.start IS NULL AND s.page IS NULL AND s.origin = 'file'
UNION ALL
SELECT p.segment, s.text FROM shown p
  JOIN files f ON f.root = p.root AND f.sidecar_of = p.path AND f.state != 'gone'
  JOIN contents c ON c.id = f.content AND c.duration IS NULL
  JOIN segments s ON s.content = f.content WHERE s.text IS NOT NULL
UNION ALL
SELECT p.segment, s.text FROM shown p JOIN caption_images d ON d.file = p.file
  JOIN segments s ON s.id = d.segment"""


def captions_of(catalog: Catalog, segments: Iterable[int]) -> dict[int, list[str]]:
    """Return the captions of each of some segments of images that have any, without repetitions."""
    captions: dict[int, list[str]] = {}
    for segment, text in catalog.db.execute(_CAPTIONS, (json.dumps([*segments]),)):
        known = captions.setdefault(segment, [])
        if text not in known:
            known.append(text)
    return captions


def first_captions(catalog: Catalog, segments: Iterable[int]) -> dict[int, str]:
    """Return the first caption of each of some segments of images that have one."""
    return {segment: captions[0] for segment, captions in captions_of(catalog, segments).items()}
