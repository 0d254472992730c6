"""Scales of one query: convert the cosines of each kind to scores that compare across kinds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from retrieval.query.encoder import EncodedQuery
from retrieval.scoring import calibration
from retrieval.scoring.ranking import standardize
from retrieval.types import VISUAL_KINDS, Hit, Ids, Kind, ScoredId, Scores
from retrieval.vectors.kind_ranking import KindRanking
from retrieval.vectors.space_index import SpaceIndex

# From the cosines of one kind to numbers that compare across kinds, in the same order: (n,) -> (n,).
Scale: TypeAlias = Callable[[Scores], Scores]

UNCALIBRATED_OFFSET = -1_000.0  # orders a kind without a calibration after all calibrated ones


@dataclass(frozen=True, slots=True)
class KindScale:
    """The scale of one kind; calibrated, its scores are standard deviations above background queries."""

    order: Scale
    is_calibrated: bool = True
    usual: float | None = None  # the cosine that half of the background queries reach

    def scored_ids(self, ids: Ids, cosines: Scores) -> list[ScoredId]:
        """Return each segment with its cosine, and with its confidence if the scale is calibrated."""
        if not self.is_calibrated:
            return list(zip(ids.tolist(), cosines.tolist(), strict=True))
        confidences = map(calibration.rounded_confidence, self.order(cosines).tolist())
        return [
            (id_, cosine, confidence, self.usual)
            for id_, cosine, confidence in zip(ids.tolist(), cosines.tolist(), confidences, strict=True)
        ]

    def scored_hits(self, hits: Sequence[Hit]) -> list[tuple[float, Hit]]:
        """Return each hit with its score."""
        if not hits:
            return []
        scores = self.order(np.array([hit.score for hit in hits], np.float32)).tolist()
        return list(zip(scores, hits, strict=True))

    def annotate(self, hits: Sequence[Hit]) -> list[tuple[float, Hit]]:
        """Return each hit with its score, and with its confidence if the scale is calibrated."""
        scored = self.scored_hits(hits)
        if not self.is_calibrated:
            return scored
        return [
            (score, replace(hit, confidence=calibration.rounded_confidence(score), usual=self.usual))
            for score, hit in scored
        ]


class KindRankings:
    """The rankings of a query in each kind; results and scales read the same ones."""

    def __init__(self, space_index: SpaceIndex, query: EncodedQuery) -> None:
        self.space_index = space_index
        self.query = query
        self._rankings: dict[Kind, KindRanking] = {}

    def of(self, kind: Kind) -> KindRanking:
        """Return the ranking of a kind."""
        if kind not in self._rankings:
            self._rankings[kind] = self.space_index.ranking(self.query.vector, kind, mode=self.query.mode)
        return self._rankings[kind]


class QueryScales:
    """The scales of a query in each kind.

    They depend on the query and the library only, so a hit has the same confidence under every filter. While
    no kind is calibrated, and for a learned direction together with other terms, which has no background
    queries, all kinds are merged by how far hits stand out from other segments of their kind. A single kind
    that is not calibrated, because it has too few different vectors, comes last.
    """

    def __init__(self, space_index: SpaceIndex, query: EncodedQuery, rankings: KindRankings) -> None:
        self.space_index = space_index
        self.query = query
        self.rankings = rankings
        self._scales: dict[Kind, KindScale] = {}

    def of(self, kind: Kind) -> KindScale:
        """Return the scale of a kind."""
        if kind not in self._scales:
            self._scales[kind] = self._make(kind)
        return self._scales[kind]

    def _make(self, kind: Kind) -> KindScale:
        query, space_index = self.query, self.space_index
        if query.probe is not None and kind in VISUAL_KINDS:
            return KindScale(query.probe.z_scores)
        is_composed_probe = query.has_probe and query.probe is None
        calibrations = {} if is_composed_probe else space_index.calibrations
        known = calibrations.get((query.mode, kind))
        if known is not None:
            ranking = self.rankings.of(kind)
            known_ranking = ranking if ranking.is_exact else None  # candidates depend on how many are read
            scale = space_index.query_scale(
                query.vector, query.mode, kind, query.unfamiliarity, known_ranking
            )
            usual = round(scale.origin + scale.unit * known.center, 4)
            return KindScale(lambda cosines: known.z_scores(scale.standard_scores(cosines)), usual=usual)
        if any(mode == query.mode for mode, _ in calibrations):
            return KindScale(lambda cosines: cosines + np.float32(UNCALIBRATED_OFFSET), is_calibrated=False)
        return KindScale(self._standardized(kind), is_calibrated=False)

    def _standardized(self, kind: Kind) -> Scale:
        kinds: list[Kind] = self.space_index.catalog.kinds()
        background = {
            each: (self.query.vector @ self.space_index.background_vectors(each).T)[0] for each in kinds
        }
        return partial(
            standardize, background=background[kind], prior=np.concatenate(list(background.values()))
        )
