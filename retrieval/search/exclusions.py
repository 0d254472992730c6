"""What a query's vetoes drop: every hit that shows something that surely fits one of them."""

from collections.abc import Sequence

import numpy as np

from retrieval.catalog.reader import Catalog
from retrieval.grouping.attributes import load_hit_attributes
from retrieval.query.encoder import EncodedQuery
from retrieval.scoring import calibration
from retrieval.scoring.linear_probe import VISUAL_KINDS, Z_QUARTILE
from retrieval.types import Hit, Kind
from retrieval.vectors.space_index import SpaceIndex

BATCH_SEGMENTS = 4_096  # segments compared with all background queries


class ExclusionFilter:
    """Judge hits, each segment once: a caption falls with its picture, and a picture with any part of it."""

    def __init__(self, catalog: Catalog, space_index: SpaceIndex, encoded_query: EncodedQuery) -> None:
        self.catalog = catalog
        self.space_index = space_index
        self.exclusions = encoded_query.exclusions
        self._excluded: dict[int, bool] = {}

    def apply(self, hits: Sequence[Hit]) -> list[Hit]:
        """Return the hits that no veto drops, in order."""
        if not self.exclusions:
            return list(hits)
        facts = load_hit_attributes(self.catalog, hits)
        shown = [(fact.segment, fact.kind or hit.kind) for fact, hit in zip(facts, hits, strict=True)]
        pictures = {segment for segment, kind in shown if kind == "image"}
        parts = self.catalog.image_parts_of(pictures | {hit.id for hit in hits})
        self._evaluate(
            {*((hit.id, hit.kind) for hit in hits), *shown, *((part, "image") for _, part in parts)}
        )
        fallen = {segment for segment, part in parts if self._excluded.get(part, False)}
        return [
            hit
            for hit, (segment, _) in zip(hits, shown, strict=True)
            if not (
                self._excluded[hit.id] or self._excluded.get(segment, False) or fallen & {hit.id, segment}
            )
        ]

    def _evaluate(self, segments: set[tuple[int, Kind]]) -> None:
        fresh = sorted(one for one in segments if one[0] not in self._excluded)
        self._excluded |= dict.fromkeys((id_ for id_, _ in fresh), False)
        for kind in {kind for _, kind in fresh}:
            some = [id_ for id_, each in fresh if each == kind]
            for at in range(0, len(some), BATCH_SEGMENTS):
                self._evaluate_kind(kind, some[at : at + BATCH_SEGMENTS])

    def _evaluate_kind(self, kind: Kind, segments: Sequence[int]) -> None:
        ids, vectors = self.catalog.vectors_of(self.space_index.space, segments)
        for veto in self.exclusions if len(ids) else ():
            if veto.probe is not None and kind in VISUAL_KINDS:
                fits = veto.probe.z_scores(vectors @ veto.probe.direction) >= Z_QUARTILE
            else:
                fits = (
                    self.space_index.match_quality(veto.vector, veto.mode, vectors)
                    >= calibration.EXCLUSION_THRESHOLD
                )
            self._excluded |= dict.fromkeys(np.asarray(ids)[fits].tolist(), True)
