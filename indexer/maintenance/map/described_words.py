"""Read the words that describe segments: labels, texts, names of folders, and similar queries."""

import json
import os
import re
from collections.abc import Iterable

import numpy as np

from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import DESCRIBES_ITSELF
from retrieval.scoring.calibration import load_background_queries
from retrieval.types import Ids, Space, Vectors

MAX_TEXT = 2_000  # characters of a text
SIMILAR_QUERIES = 4  # background queries whose words describe a segment
_WORD = re.compile(r"[^\W\d_]{3,24}")
_STOP_WORD_LIST = """
    about after all also and another are around because been before being between but can could did does
    each for from front get had has have her here him his how into its just like many more most near not off
    one onto only other our out over own said she several side some such than that the their them then there
    these they this those three through too top towards two under until upon very was way were what when
    where which while who will with without would you your
    das dem den der des die ein eine einem einen einer für mit und von vor auf bei ist sich
    aux avec dans des est les par pour que qui sur une
    con del las los para por que una
    com dcim home img image images photo photos picture pictures pics misc new untitled www http https
"""
_STOP_WORDS = frozenset(_STOP_WORD_LIST.split())
# The texts of a segment: its own, and those of its page, of its moment, and of its captions.
_TEXTS = f"""WITH chosen AS (SELECT s.* FROM segments s WHERE s.id IN (SELECT value FROM json_each(?1)))
SELECT id, text FROM chosen WHERE text IS NOT NULL
UNION SELECT s.id, t.text FROM chosen s JOIN segments t ON t.content = s.content
 WHERE t.text IS NOT NULL AND (s.kind IN ('page', 'image') AND t.page IS s.page
       OR s.kind IN ('video', 'audio') AND t.start < s."end" AND t."end" > s.start)
UNION SELECT s.id, t.text FROM chosen s JOIN files f ON f.content = s.content AND f.{DESCRIBES_ITSELF}
  JOIN files c ON c.root = f.root AND c.sidecar_of = f.path JOIN segments t ON t.content = c.content
 WHERE c.state != 'gone' AND t.text IS NOT NULL
UNION SELECT s.id, t.text FROM chosen s JOIN files f ON f.content = s.content
  JOIN caption_images d ON d.file = f.id JOIN segments t ON t.id = d.segment"""
_LABELS = """SELECT segment, name FROM tags WHERE segment IN (SELECT value FROM json_each(?1))
UNION SELECT s.id, k.name FROM segments s JOIN keywords k ON k.content = s.content
 WHERE s.id IN (SELECT value FROM json_each(?1))"""
_PATHS = """SELECT s.id, f.path FROM segments s JOIN files f ON f.content = s.content
 WHERE s.id IN (SELECT value FROM json_each(?1)) AND f.state != 'gone'"""


def words_of(text: str) -> set[str]:
    """Return the words of a text that may be a name, in lower case."""
    return set(_WORD.findall(text[:MAX_TEXT].casefold())) - _STOP_WORDS


def read_words(catalog: Catalog, segments: Ids) -> list[list[set[str]]]:
    """Return the words of each segment from each source, the best source first."""
    ids = json.dumps(segments.tolist())
    labels = ((id_, {name}) for id_, name in catalog.db.execute(_LABELS, (ids,)))
    texts = ((id_, words_of(text)) for id_, text in catalog.db.execute(_TEXTS, (ids,)))
    folders = (
        (id_, words_of(os.fsdecode(path.rpartition(b"/")[0])))
        for id_, path in catalog.db.execute(_PATHS, (ids,))
    )
    return [_collect(segments, rows) for rows in (labels, texts, folders)]


def words_of_similar_queries(catalog: Catalog, space: Space, vectors: Vectors) -> list[set[str]]:
    """Return the words of the background queries that are most similar to each centered vector."""
    queries, texts = catalog.background_queries(space, "words"), load_background_queries()
    if queries is None or len(queries) != len(texts):  # the model does not know all words
        return [set() for _ in vectors]
    scores = vectors @ (queries - queries.mean(axis=0)).T
    best = np.argpartition(-scores, SIMILAR_QUERIES, axis=1)[:, :SIMILAR_QUERIES]
    words = {query: words_of(texts[query]) for query in np.unique(best).tolist()}
    return [set().union(*map(words.__getitem__, row)) for row in best.tolist()]


def _collect(segments: Ids, rows: Iterable[tuple[int, set[str]]]) -> list[set[str]]:
    found: dict[int, set[str]] = {int(id_): set() for id_ in segments}
    for id_, words in rows:
        found[id_] |= words
    return list(found.values())
