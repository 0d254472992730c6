"""An open library, the entry point for searching."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import chain
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.catalog import thumbnails
from retrieval.catalog.connection import reads_catalog, snapshot
from retrieval.catalog.file_details import file_details
from retrieval.catalog.reader import Catalog
from retrieval.catalog.status import failures, status_of
from retrieval.embedders.base import Embedder
from retrieval.embedders.registry import is_outdated, load_space_embedder
from retrieval.errors import LibraryError, LibraryMissing, QueryError, SpaceMismatch, describe_differences
from retrieval.grouping.attributes import compare_files, load_file_attributes
from retrieval.grouping.clusters import duplicate_groups, parse_reasons
from retrieval.query import encoder, names
from retrieval.query import relevance_feedback as liking
from retrieval.query.ast import Query
from retrieval.query.filters import merge_filters
from retrieval.query.input_types import (
    as_count,
    as_examples,
    as_image,
    as_kinds,
    as_path,
    as_query,
    as_segment_id,
    as_vector,
    check_options,
    find_hit,
)
from retrieval.query.known_values import unknown_values
from retrieval.query.options import DEFAULT_OPTIONS, SearchOptions
from retrieval.query.relevance_feedback import FeedbackExample
from retrieval.scoring.linear_probe import Probe
from retrieval.search.answer import answer
from retrieval.search.request import SearchRequest
from retrieval.system import default_library, expand_user
from retrieval.types import (
    ConceptInfo,
    Failure,
    FileDetails,
    Filters,
    Group,
    Hit,
    Hits,
    Space,
    Status,
    Vectors,
)
from retrieval.vectors.milvus.published_space import PublishedSpaces
from retrieval.vectors.space_index import SpaceIndex

if TYPE_CHECKING:
    from PIL.Image import Image

    from retrieval.media.av.clip import Clip


class Library:
    """A library opened for reading; results include the changes of a running indexer.

    ```python
    library = Library.open()
    for hit in library.search("a dog on the beach", kind="image", count=5):
        print(hit.score, hit.path)
    ```
    """

    def __init__(
        self,
        catalog: Catalog,
        embedder: Embedder | None = None,
        space: str | None = None,
        *,
        token: str | None = None,
        load_embedder: Callable[[Space], Embedder] = load_space_embedder,
    ) -> None:
        self._open_catalog: Catalog | None = catalog
        self.folder = catalog.folder
        self._embedder_override, self._load_embedder = embedder, load_embedder
        self._loaded_embedder: Embedder | None = None
        self._space_name, self._published = space, PublishedSpaces(token)
        self._cached_index: tuple[tuple[Catalog, int], SpaceIndex] | None = None

    @classmethod
    def open(
        cls,
        folder: str | Path | None = None,
        *,
        embedder: Embedder | None = None,
        space: str | None = None,
        token: str | None = None,
    ) -> "Library":
        """Open the library in `folder`, or the default one; `embedder` replaces the one that it names.

        `space` selects a space other than the active one; `token` is that of its Milvus server. Raises
        LibraryMissing, LibraryVersionMismatch, and SpaceMismatch if the embedder is not that of the space.
        """
        folder = default_library() if folder is None else expand_user(folder).absolute()
        return cls(Catalog.open(folder), embedder, space, token=token)

    @reads_catalog
    def search(
        self,
        words: str | Query | None = None,
        *,
        image: "str | Path | Image | None" = None,
        like: "FeedbackExample | Iterable[FeedbackExample]" = (),
        unlike: "FeedbackExample | Iterable[FeedbackExample]" = (),
        kind: str | Iterable[str] | None = None,
        count: int = 10,
        options: SearchOptions = DEFAULT_OPTIONS,
    ) -> Hits:
        """Return the best `count` hits for a query, best first.

        Args:
            words: a query in the query language (see `retrieval.query`), which may contain filters:
                "a dog under:Trips". Filters and exclusions alone list the files that pass, newest first.
            image: a file or a Pillow image, a further term of the query.
            like, unlike: example images (segment ids, files or Pillow images); they are not returned.
            kind: one or more kinds.
            options: filters, and how hits are ranked and shown, as `SearchOptions(after=2021, group=True)`.

        A hit whose `match` is "weak" matches no better than background queries. Raises QueryError.
        """
        query, count, kind = self.parse(words), as_count(count), as_kinds(kind)
        liked, unliked = as_examples(like), as_examples(unlike)
        images = () if image is None else (as_image(image),)
        check_options(options)
        space_index = self._open_space_index()
        probe = None
        if liked or unliked:
            embedder = self._embedder_of(space_index.space)
            probe = liking.fit_feedback_probe(space_index, embedder, liked, unliked)
        examples = query.segment_ids | liking.example_segments(space_index, [*liked, *unliked])
        examples |= {part for _, part in self._catalog.image_parts_of(examples)}
        examples |= set(self._catalog.texts_of_images(examples).tolist())
        inputs, requests = [*images, *[probe] * (probe is not None)], []
        for each in query.alternatives:
            filters = merge_filters(each.filters, kind, options)
            encoder.validate_query(each, inputs, options.allow_url, has_filters=filters != Filters())
            encoded = self._encode_query(space_index, each, images, probe)
            requests.append(SearchRequest(space_index, encoded, filters, examples))
        return answer(requests, count, options)

    @reads_catalog
    def parse(self, words: str | Query | None) -> Query:
        """Return the tree of a query, with its saved searches written out. Raises QueryError."""
        return names.expand_saved_searches(as_query(words), names.saved_searches(self._catalog))

    @reads_catalog
    def unknown_filter_values(
        self,
        words: str | Query | None = None,
        options: SearchOptions = DEFAULT_OPTIONS,
        found: bool = False,
    ) -> list[str]:
        """Return a message for each folder, camera, lens and tag that is not in the library.

        If the search `found` hits, only values with alternatives are examined.
        """
        check_options(options)
        filters = [merge_filters(each.filters, None, options) for each in self.parse(words).alternatives]
        return list(dict.fromkeys(chain(*(unknown_values(self._catalog, each, found) for each in filters))))

    @reads_catalog
    def similar(
        self,
        image: "str | Path | Image",
        *,
        kind: str | Iterable[str] | None = "image",
        count: int = 10,
        options: SearchOptions = DEFAULT_OPTIONS,
    ) -> Hits:
        """Return the images most similar to `image`, without itself and its copies."""
        image, count = as_image(image), as_count(count)
        check_options(options)
        filters = merge_filters((), kind, options)
        space_index = self._open_space_index()
        own = liking.example_segments(space_index, [image])
        own |= set(self._catalog.texts_of_images(own).tolist())
        encoded = self._encode_query(space_index, Query(), (image,))
        return answer([SearchRequest(space_index, encoded, filters, own)], count, options)

    @reads_catalog
    def nearest(
        self,
        vector: Sequence[float] | Vectors,
        *,
        kind: str | Iterable[str] | None = None,
        count: int = 10,
        options: SearchOptions = DEFAULT_OPTIONS,
    ) -> Hits:
        """Return the segments whose vectors are most similar to one of the active space, of any length.

        The other arguments are those of `search`. Raises QueryError.
        """
        count, space_index = as_count(count), self._open_space_index()
        check_options(options)
        encoded = encoder.EncodedQuery.of_vector(as_vector(vector, space_index.space.dim))
        return answer([SearchRequest(space_index, encoded, merge_filters((), kind, options))], count, options)

    @reads_catalog
    def duplicates(
        self, folder: str | Path | None = None, *, by: str | Iterable[str] = ("copy", "near-duplicate")
    ) -> list[Group]:
        """Return the groups of related files, largest waste first, without changing them.

        `folder` restricts the files, by absolute path or by name. `by` is one or more of copy, pair,
        near-duplicate and burst. Raises QueryError.
        """
        reasons, under = parse_reasons(by), merge_filters((), None, SearchOptions(under=folder)).under
        if len(under) > 1:
            raise QueryError(f"Invalid folder {folder!r}. Give one.")
        files = load_file_attributes(self._catalog, *under)
        if folder is not None and not files:
            raise QueryError(f"No file under {folder} is in the library. `clew status` lists its folders.")
        return duplicate_groups(files, compare_files(self._catalog, self._active_space(), files), reasons)

    @reads_catalog
    def thumbnail(self, hit: Hit | int) -> bytes | None:
        """Return the thumbnail of a hit, or of a segment id, as WebP of at most 320 pixels a side, if any.

        A caption has the thumbnail of its image; speech that of its scene, and text that of its page.
        """
        if isinstance(hit, Hit):
            return thumbnails.find_thumbnail(self._catalog, hit)
        hits = self._catalog.hits([(as_segment_id(hit), 0.0)], "", Filters())
        return thumbnails.find_thumbnail(self._catalog, hits[0]) if hits else None

    @reads_catalog
    def text(self, hit: Hit) -> str | None:
        """Return the text of a hit, for a page the text on it."""
        return hit.text if hit.page is None or hit.text else self._catalog.page_text(hit.id)

    @reads_catalog
    def details(self, file: str | Path | int) -> FileDetails:
        """Return everything that the library knows of a file, by its path or by the id of a segment."""
        is_id = isinstance(file, Integral)
        return file_details(self._catalog, as_segment_id(file) if is_id else as_path(file).absolute())

    def clip(
        self,
        hit: Hit | int | str,
        out: str | Path,
        *,
        around: float = 0.0,
        exact: bool = False,
        force: bool = False,
    ) -> "Clip":
        """Write the part of a video or audio file that a hit covers to a new file.

        The hit is a Hit, a segment id, or a location such as `clip.mp4 @ 01:23.4`. Packets are copied from
        the preceding key frame if the new format permits; with `exact` they are re-encoded from the start of
        the hit. `around` adds seconds on both sides; `force` overwrites a file. Raises QueryError and
        MediaError.
        """
        from retrieval.media.av.clip import hit_time_range, write_clip

        if not isinstance(hit, Hit):
            hit = self._find_hit(hit)
        return write_clip(hit.path, expand_user(out), *hit_time_range(hit, around), exact=exact, force=force)

    @reads_catalog
    def _find_hit(self, hit: int | str) -> Hit:
        return find_hit(self._catalog, hit, self._active_space().name)

    @reads_catalog
    def tags(self) -> dict[str, int]:
        """Return each label with its number of segments, most frequent first."""
        return self._catalog.tag_counts()

    @reads_catalog
    def status(self) -> Status:
        """Return the contents and settings of the library."""
        return status_of(self._catalog, self._space_name)

    @reads_catalog
    def failures(self) -> list[Failure]:
        """Return the files that could not be read, or only in part, and why."""
        return failures(self._catalog)

    @reads_catalog
    def saved_searches(self) -> dict[str, str]:
        """Return name -> query of the saved searches, by name; queries name them @NAME."""
        return names.saved_searches(self._catalog)

    @reads_catalog
    def concepts(self) -> list[ConceptInfo]:
        """Return the concepts, by name, as fitted to the active space."""
        return names.list_concepts(self._catalog, self._open_space_index().space)

    @property
    @reads_catalog
    def damage(self) -> str | None:
        """Return the problem with index files or the Milvus server; results are correct even so."""
        return self._open_space_index().problem

    @property
    @reads_catalog
    def is_outdated(self) -> bool:
        """Return True if its built-in model is no longer part of clew, so that only keywords are searched."""
        space = self._active_space()
        return is_outdated(space.model, space.fingerprint)

    @property
    @reads_catalog
    def embedder(self) -> Embedder:
        """Return the embedder of the active space."""
        return self._embedder_of(self._open_space_index().space)

    def close(self) -> None:
        """Close the library."""
        self._cached_index = None
        if self._open_catalog is not None:
            self._open_catalog.close()
        self._open_catalog = None

    def _is_replaced(self) -> bool:
        """Return True if another process has replaced the catalog since it was opened."""
        return self._catalog.is_outdated()

    def _version(self) -> tuple[Catalog, int]:
        """Return a value that changes whenever another process has written."""
        return (catalog := self._catalog), catalog.data_version()

    def _snapshot(self) -> AbstractContextManager[None]:
        """Return a context in which all reads see the same version."""
        return snapshot(self._catalog.db)

    def __repr__(self) -> str:
        return f"Library({str(self.folder)!r})"

    def __enter__(self) -> "Library":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def _catalog(self) -> Catalog:
        if self._open_catalog is None:
            raise LibraryError(f"The library at {self.folder} is closed. Open it again.")
        if self._open_catalog.is_outdated():  # other threads may still use the old connection
            self._open_catalog = Catalog.open(self.folder)
        return self._open_catalog

    def _encode_query(
        self,
        space_index: SpaceIndex,
        query: Query,
        images: "Sequence[str | Path | Image]" = (),
        probe: Probe | None = None,
    ) -> encoder.EncodedQuery:
        """Embed a query, with images and a probe of examples as further terms."""
        if not (query.terms or query.exclusions or images or probe):
            return encoder.EncodedQuery.empty(space_index.space.dim)
        encoder.start_decoder(query, images)
        embedder = self._embedder_of(space_index.space)
        lookup = partial(encoder.lookup_vector, self._catalog, space_index.space)
        return encoder.encode_query(query, embedder, lookup, space_index.mean_words, images, probe)

    def _embedder_of(self, space: Space) -> Embedder:
        """Return the embedder of a space. Raises SpaceMismatch if its model has changed."""
        embedder = self._embedder_override or self._loaded_embedder
        if embedder is None or (
            self._embedder_override is None and embedder.fingerprint != space.fingerprint
        ):
            embedder = self._loaded_embedder = self._load_embedder(space)
        if embedder.fingerprint != space.fingerprint:
            raise SpaceMismatch(embedder.name, space.name, describe_differences(space.parts, embedder.parts))
        return embedder

    def _active_space(self) -> Space:
        space = self._catalog.space(self._space_name)
        if space is None and self._space_name is not None:
            raise LibraryError(f"The library at {self.folder} has no space {self._space_name}.")
        if space is None:
            raise LibraryMissing(self._catalog.folder)
        return space

    def _open_space_index(self) -> SpaceIndex:
        """Return the opened active space, reopened whenever the catalog has changed."""
        catalog, _ = version = self._version()
        if (cached := self._cached_index) is None or cached[0] != version:  # other threads may replace it
            space = self._active_space()
            if self._embedder_override is not None:
                self._embedder_of(space)
            previous = None if cached is None else cached[1]
            space_index = SpaceIndex(catalog, space, previous, self._published.open(catalog, space))
            if space_index.damage and catalog.space(self._space_name) != space:  # rebuilt meanwhile
                return self._open_space_index()
            cached = self._cached_index = version, space_index
        return cached[1]
