"""Drop the hits that match an exclusion (not:) of the query."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from retrieval.grouping.attributes import load_hit_attributes
from retrieval.query.encoder import EncodedQuery, EncodedTerm
from retrieval.scoring import calibration
from retrieval.types import CONFIDENCE_THRESHOLD, VISUAL_KINDS, Hit, Ids, Kind, Scores
from retrieval.vectors.space_index import SpaceIndex

BATCH_SEGMENTS = 4_096  # segments compared with all background queries
MAX_DROPPED_SEGMENTS = 10_000  # of a kind; then its search ends if not even MIN_KEPT_SHARE remained
MIN_KEPT_SHARE = 0.1


class ExclusionFilter:
    """A filter that evaluates each segment once.

    A caption is dropped with its image, and an image if any of its parts matches. If nearly all segments
    match, the search ends early, and `note` says so.
    """

    def __init__(
        self,
        space_index: SpaceIndex,
        encoded_query: EncodedQuery,
        max_dropped: int = MAX_DROPPED_SEGMENTS,
    ) -> None:
        self.max_dropped = max_dropped
        self.catalog = space_index.catalog
        self.space_index = space_index
        self.exclusions = encoded_query.exclusions
        self._excluded: dict[int, bool] = {}
        self._confident: dict[tuple[str, Kind], bool] = {}
        self._dropped, self._kept = defaultdict[Kind, set[int]](set), defaultdict[Kind, set[int]](set)
        self.note: str | None = None

    def has_dropped(self, id_: int) -> bool:
        """Return True if a segment was evaluated and matches an exclusion."""
        return self._excluded.get(id_, False)

    def is_exhausted(self, kinds: Iterable[Kind]) -> bool:
        """Return True if so many segments of one of these kinds were dropped that it ends, with a note.

        Call this only if segments of these kinds remain to be compared.
        """
        for kind in kinds:
            dropped, kept = len(self._dropped[kind]), len(self._kept[kind])
            if dropped > self.max_dropped and kept < MIN_KEPT_SHARE * (kept + dropped):
                self.note = (
                    f"not: drops nearly all segments of the kind {kind}; only the best {dropped + kept:,} "
                    "were compared. To compare others, add words or filters."
                )
                return True
        return False

    def remaining(self, ids: Ids) -> Ids:
        """Return, of segments to compare, those of kinds that are not exhausted, in order."""
        for kind in list(self._dropped):
            of_kind = self.catalog.ids_of_kind(ids, kind)
            if len(of_kind) and self.is_exhausted([kind]):
                ids = ids[np.isin(ids, of_kind, invert=True)]
        return ids

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
        kept = [
            hit
            for hit, (segment, _) in zip(hits, shown, strict=True)
            if not (
                self._excluded[hit.id]
                or self._excluded.get(segment, False)
                or with_excluded_part & {hit.id, segment}
            )
        ]
        kept_ids = {hit.id for hit in kept}
        for hit in hits:
            (self._kept if hit.id in kept_ids else self._dropped)[hit.kind].add(hit.id)
        return kept

    def apply_to_ids(self, ids: Ids, scores: Scores, kind: Kind) -> tuple[Ids, Scores]:
        """Return the segments of one kind that no exclusion matches by their own vectors, with their scores.

        This needs no files, so it is fast even if most segments are dropped. `apply` does the rest.
        """
        if not self.exclusions:
            return ids, scores
        self._evaluate({(id_, kind) for id_ in ids.tolist()})
        kept = np.array([not self._excluded[id_] for id_ in ids.tolist()], bool)
        self._dropped[kind].update(ids[~kept].tolist())
        return ids[kept], scores[kept]

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
                is_picture, is_visual = exclusion.mode == "picture", kind in VISUAL_KINDS
                cosines = (exclusion.vector @ vectors.T)[0]
                fits = (cosines >= calibration.MIN_COPY_COSINE) & (is_picture == is_visual)
                if (is_picture and is_visual) or self._has_confident_match(exclusion, kind):
                    fits |= (
                        self.space_index.match_quality(exclusion.vector, exclusion.mode, vectors)
                        >= calibration.EXCLUSION_THRESHOLD
                    )
            self._excluded |= dict.fromkeys(np.asarray(ids)[fits].tolist(), True)

    def _has_confident_match(self, exclusion: EncodedTerm, kind: Kind) -> bool:
        """Return True if a search for an exclusion finds a confident match, or before calibration.

        Otherwise the kind hardly has a segment that shows it, and those that match it best stay. Images are
        not compared with a picture so: in a series of similar ones, none stands out.
        """
        key = exclusion.text, kind
        if key not in self._confident:
            space_index = self.space_index
            known = space_index.calibrations.get((exclusion.mode, kind))
            self._confident[key] = True
            if known is not None:
                scores = space_index.search(exclusion.vector, kind, 1, mode=exclusion.mode)[0]
                scale = space_index.query_scale(
                    exclusion.vector, exclusion.mode, kind, exclusion.unfamiliarity
                )
                z_scores = known.z_scores(scale.standard_scores(scores))
                self._confident[key] = bool(
                    calibration.confidence(z_scores.max(initial=-9.0)) >= CONFIDENCE_THRESHOLD
                )
        return self._confident[key]
