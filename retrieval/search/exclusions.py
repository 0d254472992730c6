"""What a query's vetoes drop: every hit that shows something that surely fits one of them."""

from collections.abc import Sequence

import numpy as np

from retrieval.catalog.reader import Catalog
from retrieval.grouping.attributes import facts_of_hits
from retrieval.query.encoder import Asked
from retrieval.scoring import calibration
from retrieval.scoring.linear_probe import QUARTILE, SEEN
from retrieval.types import Hit, Kind
from retrieval.vectors.space_index import Nearest

AT_ONCE = 4_096  # segments compared with all background queries


class Vetoes:
    """Judge hits, each segment once: a caption falls with its picture, and a picture with any part of it."""

    def __init__(self, catalog: Catalog, nearest: Nearest, asked: Asked) -> None:
        self.catalog = catalog
        self.nearest = nearest
        self.vetoes = asked.vetoes
        self._dropped: dict[int, bool] = {}

    def spare(self, hits: Sequence[Hit]) -> list[Hit]:
        """Return the hits that no veto drops, in order."""
        if not self.vetoes:
            return list(hits)
        facts = facts_of_hits(self.catalog, hits)
        shown = [(fact.segment, fact.kind or hit.kind) for fact, hit in zip(facts, hits, strict=True)]
        pictures = {segment for segment, kind in shown if kind == "image"}
        parts = self.catalog.parts_of(pictures | {hit.id for hit in hits})
        self._judge({*((hit.id, hit.kind) for hit in hits), *shown, *((part, "image") for _, part in parts)})
        fallen = {segment for segment, part in parts if self._dropped.get(part, False)}
        return [
            hit
            for hit, (segment, _) in zip(hits, shown, strict=True)
            if not (self._dropped[hit.id] or self._dropped.get(segment, False) or fallen & {hit.id, segment})
        ]

    def _judge(self, segments: set[tuple[int, Kind]]) -> None:
        fresh = sorted(one for one in segments if one[0] not in self._dropped)
        self._dropped |= dict.fromkeys((id_ for id_, _ in fresh), False)
        for kind in {kind for _, kind in fresh}:
            some = [id_ for id_, each in fresh if each == kind]
            for at in range(0, len(some), AT_ONCE):
                self._judge_kind(kind, some[at : at + AT_ONCE])

    def _judge_kind(self, kind: Kind, segments: Sequence[int]) -> None:
        ids, vectors = self.catalog.vectors_of(self.nearest.space, segments)
        for veto in self.vetoes if len(ids) else ():
            if veto.probe is not None and kind in SEEN:
                fits = veto.probe.surprise(vectors @ veto.probe.direction) >= QUARTILE
            else:
                fits = self.nearest.fits(veto.vector, veto.way, vectors) >= calibration.FITS
            self._dropped |= dict.fromkeys(np.asarray(ids)[fits].tolist(), True)
