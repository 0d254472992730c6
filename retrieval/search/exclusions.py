"""Drop the hits that match an exclusion (not:) of the query."""

from collections.abc import Sequence

import numpy as np

from retrieval.grouping.attributes import load_hit_attributes
from retrieval.query.encoder import EncodedQuery
from retrieval.scoring import calibration
from retrieval.types import VISUAL_KINDS, Hit, Kind
from retrieval.vectors.space_index import SpaceIndex

BATCH_SEGMENTS = 4_096  # segments compared with all background queries


class ExclusionFilter:
    """A filter that evaluates each segment once.

    A caption is dropped with its image, and an image if any of its parts matches.
    """

    def __init__(self, space_index: SpaceIndex, encoded_query: EncodedQuery) -> None:
        self.catalog = space_index.catalog
        self.space_index = space_index
        self.exclusions = encoded_query.exclusions
        self._excluded: dict[int, bool] = {}

    def apply(self, hits: Sequence[Hit]) -> list[Hit]:
        """Return the hits that no exclusion matches, in order."""
        if not self.exclusions:
            return list(hits)
        files = load_hit_attributes(self.catalog, hits)
        shown = [(file.segment, file.kind or hit.kind) for file, hit in zip(files, hits, strict=True)]
        images = {segment for segment, kind in shown if kind == "image"}
        parts = self.catalog.image_parts_of(images | {hit.id for hit in hits})
        self._evaluate(
            {*((hit.id, hit.kind) for hit in hits), *shown, *((part, "image") for _, part in parts)}
        )
        with_excluded_part = {segment for segment, part in parts if self._excluded.get(part, False)}
        return [
            hit
            for hit, (segment, _) in zip(hits, shown, strict=True)
            if not (
                self._excluded[hit.id]
                or self._excluded.get(segment, False)
                or with_excluded_part & {hit.id, segment}
            )
        ]

    def _evaluate(self, segments: set[tuple[int, Kind]]) -> None:
        new = sorted(segment for segment in segments if segment[0] not in self._excluded)
        self._excluded |= dict.fromkeys((id_ for id_, _ in new), False)
        for kind in {kind for _, kind in new}:
            ids = [id_ for id_, segment_kind in new if segment_kind == kind]
            for at in range(0, len(ids), BATCH_SEGMENTS):
                self._evaluate_kind(kind, ids[at : at + BATCH_SEGMENTS])

    def _evaluate_kind(self, kind: Kind, segments: Sequence[int]) -> None:
        ids, vectors = self.catalog.vectors_of(self.space_index.space, segments)
        for exclusion in self.exclusions if len(ids) else ():
            if exclusion.probe is not None and kind in VISUAL_KINDS:
                fits = exclusion.probe.z_scores(vectors @ exclusion.probe.direction) >= calibration.Z_QUARTILE
            else:
                fits = (
                    self.space_index.match_quality(exclusion.vector, exclusion.mode, vectors)
                    >= calibration.EXCLUSION_THRESHOLD
                )
            self._excluded |= dict.fromkeys(np.asarray(ids)[fits].tolist(), True)
