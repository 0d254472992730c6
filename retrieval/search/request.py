"""The input of a search: an encoded query, the space it is searched in, and what may be returned."""

from dataclasses import dataclass, field
from functools import cached_property

from retrieval.catalog.reader import Catalog
from retrieval.query.encoder import EncodedQuery
from retrieval.search.exclusions import MAX_DROPPED_SEGMENTS, ExclusionFilter
from retrieval.search.query_scales import KindRankings, QueryScales
from retrieval.types import Filters
from retrieval.vectors.space_index import SpaceIndex


@dataclass(frozen=True)
class SearchRequest:
    """A query and the segments among which it is searched."""

    space_index: SpaceIndex
    query: EncodedQuery
    filters: Filters = field(default_factory=Filters)
    excluded_ids: frozenset[int] = frozenset()  # segments that are never returned, such as examples
    max_dropped: int = MAX_DROPPED_SEGMENTS  # by exclusions, of a kind, before its search may end

    @property
    def catalog(self) -> Catalog:
        """Return the catalog of the space."""
        return self.space_index.catalog

    @cached_property
    def exclusion_filter(self) -> ExclusionFilter:
        """Return the filter of the query's exclusions, which remembers the segments it has evaluated."""
        return ExclusionFilter(self.space_index, self.query, self.max_dropped)

    @cached_property
    def rankings(self) -> KindRankings:
        """Return the rankings of the query in each kind, without filters."""
        return KindRankings(self.space_index, self.query)

    @cached_property
    def scales(self) -> QueryScales:
        """Return the scales of the query in each kind."""
        return QueryScales(self.space_index, self.query, self.rankings)
