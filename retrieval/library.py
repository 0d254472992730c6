"""An open library: the one thing a program needs to search."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Unpack

from retrieval.catalog import concepts, thumbnails
from retrieval.catalog.reader import Catalog
from retrieval.catalog.status import failures, status_of
from retrieval.embedders import registry
from retrieval.embedders.base import Embedder
from retrieval.errors import LibraryError, LibraryMissing, QueryError, SpaceMismatch, describe_differences
from retrieval.formatting import format_timestamp, parse_timed_path
from retrieval.grouping.attributes import file_similarity_function, load_file_attributes
from retrieval.grouping.clusters import duplicate_groups, parse_reasons
from retrieval.media.archives.archive import is_file
from retrieval.query import relevance_feedback as liking
from retrieval.query.ast import Query
from retrieval.query.encoder import EncodedQuery, encode_query, lookup_vector
from retrieval.query.filters import FilterOptions, merge_filters
from retrieval.query.parser import parse
from retrieval.query.relevance_feedback import FeedbackExample
from retrieval.scoring.linear_probe import Probe
from retrieval.search.explain import explain
from retrieval.search.hybrid_search import SearchMode, hybrid_search
from retrieval.search.results import ResultOptions, build_result_options, postprocess
from retrieval.system import default_library
from retrieval.types import ConceptInfo, Failure, Filters, Group, Hit, Space, Status
from retrieval.vectors.space_index import SpaceIndex

if TYPE_CHECKING:
    from PIL.Image import Image

    from retrieval.media.av.clip import Clip


class Library:
    """A library opened to read; answers follow what the indexer writes meanwhile.

    ```python
    library = Library.open()
    for hit in library.search("a dog on the beach", kind="image", count=5):
        print(hit.score, hit.path)
    ```
    """

    def __init__(self, catalog: Catalog, embedder: Embedder | None = None, space: str | None = None) -> None:
        self._open_catalog: Catalog | None = catalog
        self.folder = catalog.folder
        self._embedder_override = embedder
        self._loaded_embedder: Embedder | None = None
        self._space_name = space
        self._cached_index: tuple[int, SpaceIndex] | None = None

    @classmethod
    def open(
        cls, folder: str | Path | None = None, *, embedder: Embedder | None = None, space: str | None = None
    ) -> "Library":
        """Open the library in `folder`, or the default one; `embedder` stands in for the one it names.

        `space` names another of its spaces than the one that answers. Raises LibraryMissing,
        LibraryVersion, and SpaceMismatch where the embedder is not of its space.
        """
        place = default_library() if folder is None else Path(folder).expanduser().absolute()
        return cls(Catalog.open(place), embedder, space)

    def search(
        self,
        words: str | Query | None = None,
        *,
        image: "str | Path | Image | None" = None,
        like: "FeedbackExample | Iterable[FeedbackExample]" = (),
        unlike: "FeedbackExample | Iterable[FeedbackExample]" = (),
        kind: str | Iterable[str] | None = None,
        count: int = 10,
        by: SearchMode = "both",
        sort: str = "score",
        diversity: float = 0.0,
        group: bool = False,
        allow_url: bool = False,
        why: bool = False,
        **filter_options: Unpack[FilterOptions],
    ) -> list[Hit]:
        """Return the best `count` hits for a query, best first.

        `words` are in the query language (see `retrieval.query`) and are searched `by` meaning, by keyword,
        or both; `image` is a file or a Pillow image, which counts as one thing more. `like` and `unlike` are
        pictures (segments by their ids, files, Pillow images) from which is learned what to look for; they
        are no hits themselves. `kind` names one or more kinds; what else narrows the answer is in
        `retrieval.narrow.Narrow`: under, after, before, date, camera, lens, near, tag, rating, size,
        orientation. `group` makes one hit, with the others as its `more`, of copies, near-duplicates,
        bursts and pairs; `diversity`, to 1, prefers what is unlike the hits before it; `sort` is score, date,
        date-desc or name, of the hits so chosen. A hit that is weak matches no better than background
        queries do. Pictures on the network are fetched only with `allow_url`; `why` says of each hit what
        brought it. Raises QueryError.
        """
        query, wanted = (
            words if isinstance(words, Query) else parse(words or ""),
            build_result_options(sort, diversity, group),
        )
        filters = merge_filters(query.filters, kind, filter_options)
        nearest = self._open_space_index()  # of one space, whatever is switched meanwhile
        liked, unliked = liking.as_examples(like), liking.as_examples(unlike)
        learned = self._train_probe(nearest, liked, unliked) if liked or unliked else None
        known = query.segment_ids | liking.example_segments(nearest, [*liked, *unliked])
        known |= {part for _, part in self._catalog.image_parts_of(known)}
        asked = self._encode_query(nearest, query, image, allow_url, learned)
        if by == "keyword" and not asked.keywords:
            raise QueryError("A picture has no words to search by; leave out --keyword-only.")
        hits = self._rank(nearest, asked, filters, wanted, count, known, by)
        return explain(self._catalog, nearest, asked, hits) if why else hits

    def similar(
        self,
        image: "str | Path | Image",
        *,
        kind: str | Iterable[str] | None = "image",
        count: int = 10,
        sort: str = "score",
        diversity: float = 0.0,
        group: bool = False,
        **filter_options: Unpack[FilterOptions],
    ) -> list[Hit]:
        """Return the pictures most like this one, which itself (and any copy of it) is left out."""
        filters, wanted = (
            merge_filters((), kind, filter_options),
            build_result_options(sort, diversity, group),
        )
        itself = frozenset[int]()
        if isinstance(image, str | Path) and is_file(Path(image).expanduser()):
            itself = frozenset(self._catalog.segments_of(liking.file_digest(Path(image).expanduser())))
        nearest = self._open_space_index()
        return self._rank(
            nearest, self._encode_query(nearest, Query(), image), filters, wanted, count, itself
        )

    def duplicates(
        self, folder: str | Path | None = None, *, by: str | Iterable[str] = ("copy", "near-duplicate")
    ) -> list[Group]:
        """Return the groups of files that belong together, those with the most waste first.

        `folder` narrows to what is under it, absolute or by name. `by` names one or more reasons: copy,
        pair, near-duplicate, burst. Nothing is changed, here or on the disk. Raises QueryError.
        """
        reasons, under = parse_reasons(by), merge_filters((), None, {"under": folder}).under
        files = load_file_attributes(self._catalog, *under)
        if folder is not None and not files:
            raise QueryError(f"No file under {folder} is in the library; `clew status` lists its folders.")
        return duplicate_groups(
            files, file_similarity_function(self._catalog, self._active_space(), files), reasons
        )

    def thumbnail(self, hit: Hit | int) -> bytes | None:
        """Return a small WebP of what a hit shows, at most 320 pixels a side; None where there is none.

        A caption has its picture's; what is said in a video or written on a page has that of the moment or
        the page. A hit may be named by its id.
        """
        if isinstance(hit, Hit):
            return thumbnails.find_thumbnail(self._catalog, hit)
        named = self._catalog.hits([(hit, 0.0)], "", Filters())
        return thumbnails.find_thumbnail(self._catalog, named[0]) if named else None

    def clip(
        self,
        hit: Hit | int | str,
        out: str | Path,
        *,
        around: float = 0.0,
        exact: bool = False,
        force: bool = False,
    ) -> "Clip":
        """Cut a hit, given whole, by its id or as `clip.mp4 @ 01:23.4`, out of its video or sound.

        Its packets are copied from the key frame before it on, where the new file's format permits; with
        `exact` they are coded anew, so that it begins where the hit does. `around` adds seconds on both
        sides; `force` replaces a file. Raises QueryError and MediaError.
        """
        from retrieval.media.av.clip import hit_time_range, write_clip

        found = hit if isinstance(hit, Hit) else self._find_hit(hit)
        return write_clip(
            found.path, Path(out).expanduser(), *hit_time_range(found, around), exact=exact, force=force
        )

    def tags(self) -> dict[str, int]:
        """Return each label and how many segments have it, the most frequent first."""
        return self._catalog.tag_counts()

    def status(self) -> Status:
        """Return what the library holds."""
        return status_of(self._catalog, self._space_name)

    def failures(self) -> list[Failure]:
        """Return the files that could not be read, and why."""
        return failures(self._catalog)

    def concepts(self) -> list[ConceptInfo]:
        """Return the concepts there are, by name, as the space that answers tells them."""
        return concepts.list_concepts(self._catalog, self._open_space_index().space)

    @property
    def damage(self) -> str | None:
        """Say what is wrong with the index file, if anything; answers are right all the same."""
        return self._open_space_index().damage

    @property
    def embedder(self) -> Embedder:
        """Return the embedder of the space that answers."""
        return self._embedder_of(self._open_space_index().space)

    def close(self) -> None:
        """Let go of the library."""
        self._cached_index = None
        if self._open_catalog is not None:
            self._open_catalog.close()
        self._open_catalog = None

    def __repr__(self) -> str:
        return f"Library({str(self.folder)!r})"

    def __enter__(self) -> "Library":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _catalog(self) -> Catalog:
        if self._open_catalog is None:
            raise LibraryError(f"The library at {self.folder} is closed; open it again.")
        return self._open_catalog

    def _find_hit(self, id_or_location: int | str) -> Hit:
        """Return a segment, by its id or by path and time, as a hit, where its file is; raises QueryError."""
        segment = self._segment_at(id_or_location) if isinstance(id_or_location, str) else id_or_location
        hits = self._catalog.hits([(segment, 1.0)], self._active_space().name, Filters())
        if not hits:
            raise QueryError(
                f"There is no segment #{segment} in this library; `clew search ... --json` tells ids."
            )
        return hits[0]

    def _segment_at(self, location: str) -> int:
        moment = parse_timed_path(location)
        if moment is None:
            raise QueryError(f"{location!r} is no moment; write it as `clip.mp4 @ 01:23.4`, or give its id.")
        path = Path(moment[0]).expanduser().absolute()
        segment = self._catalog.segment_at(path, moment[1])
        if segment is None:
            raise QueryError(f"Nothing that was found begins in {path} at {format_timestamp(moment[1])}.")
        return segment

    def _train_probe(
        self, space_index: SpaceIndex, liked: "list[FeedbackExample]", unliked: "list[FeedbackExample]"
    ) -> Probe:
        return liking.fit_feedback_probe(space_index, self._embedder_of(space_index.space), liked, unliked)

    def _encode_query(
        self,
        space_index: SpaceIndex,
        query: Query,
        image: "str | Path | Image | None" = None,
        allow_url: bool = False,
        probe: Probe | None = None,
    ) -> EncodedQuery:
        """Embed a query, and beside it a picture and what was learned from examples."""
        embedder = self._embedder_of(space_index.space)
        find = partial(lookup_vector, self._catalog, space_index.space)
        beside = () if image is None else (image,)
        return encode_query(query, embedder, find, space_index.mean_query, beside, allow_url, probe)

    def _rank(
        self,
        space_index: SpaceIndex,
        encoded_query: EncodedQuery,
        filters: Filters,
        result_options: ResultOptions,
        count: int,
        excluded_ids: frozenset[int] = frozenset(),
        by: SearchMode = "both",
    ) -> list[Hit]:
        if count < 1:
            raise QueryError(f"{count} hits cannot be returned; ask for 1 or more.")
        ask = partial(
            hybrid_search,
            self._catalog,
            space_index,
            encoded_query,
            filters,
            excluded_ids=excluded_ids,
            by=by,
        )
        return postprocess(lambda most: ask(count=most), count, result_options, space_index, filters)

    def _embedder_of(self, space: Space) -> Embedder:
        """Return the embedder of a space; raises SpaceMismatch where it is not that any more."""
        found = self._embedder_override or self._loaded_embedder
        if found is None or (self._embedder_override is None and found.fingerprint != space.fingerprint):
            found = self._loaded_embedder = registry.load_embedder(space.model, fingerprint=space.fingerprint)
        if found.fingerprint != space.fingerprint:
            raise SpaceMismatch(found.name, space.name, describe_differences(space.parts, found.parts))
        return found

    def _active_space(self) -> Space:
        space = self._catalog.space(self._space_name)
        if space is None and self._space_name is not None:
            raise LibraryError(f"The library at {self.folder} has no space {self._space_name}.")
        if space is None:
            raise LibraryMissing(self._catalog.folder)
        return space

    def _open_space_index(self) -> SpaceIndex:
        """Open the space that answers, again whenever the catalogue has changed."""
        version = self._catalog.data_version()
        if self._cached_index is None or self._cached_index[0] != version:
            space = self._active_space()
            if self._embedder_override is not None:
                self._embedder_of(space)
            nearest = SpaceIndex(self._catalog, space)
            if nearest.damage and self._catalog.space(self._space_name) != space:  # built anew at this moment
                return self._open_space_index()
            self._cached_index = version, nearest
        return self._cached_index[1]
