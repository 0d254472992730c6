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
from retrieval.errors import LibraryError, LibraryMissing, QueryError, SpaceMismatch, differences
from retrieval.formatting import clock, moment_of
from retrieval.grouping.attributes import facts_of_files, likeness_of_files
from retrieval.grouping.clusters import duplicates, reasons_of
from retrieval.media.archives.archive import is_file
from retrieval.query import relevance_feedback as liking
from retrieval.query.ast import Query
from retrieval.query.encoder import Asked, compose, find_known
from retrieval.query.filters import Narrow, gather
from retrieval.query.parser import parse
from retrieval.query.relevance_feedback import Example
from retrieval.scoring.linear_probe import Probe
from retrieval.search.explain import explain
from retrieval.search.hybrid_search import By, search_both
from retrieval.search.results import Shape, shape, shape_of
from retrieval.system import default_library
from retrieval.types import Failure, Filters, Group, Hit, Space, Status, Taught
from retrieval.vectors.space_index import Nearest

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
        self._open: Catalog | None = catalog
        self.folder = catalog.folder
        self._given = embedder
        self._loaded: Embedder | None = None
        self._space = space
        self._nearest: tuple[int, Nearest] | None = None

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
        like: "Example | Iterable[Example]" = (),
        unlike: "Example | Iterable[Example]" = (),
        kind: str | Iterable[str] | None = None,
        count: int = 10,
        by: By = "both",
        sort: str = "score",
        diversity: float = 0.0,
        group: bool = False,
        allow_url: bool = False,
        why: bool = False,
        **narrow: Unpack[Narrow],
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
            shape_of(sort, diversity, group),
        )
        filters = gather(query.filters, kind, narrow)
        nearest = self._open_nearest()  # of one space, whatever is switched meanwhile
        liked, unliked = liking.several(like), liking.several(unlike)
        learned = self._learn(nearest, liked, unliked) if liked or unliked else None
        known = query.segments | liking.segments(nearest, [*liked, *unliked])
        known |= {part for _, part in self._catalog.parts_of(known)}
        asked = self._ask(nearest, query, image, allow_url, learned)
        if by == "keyword" and not asked.words:
            raise QueryError("A picture has no words to search by; leave out --keyword-only.")
        hits = self._answer(nearest, asked, filters, wanted, count, known, by)
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
        **narrow: Unpack[Narrow],
    ) -> list[Hit]:
        """Return the pictures most like this one, which itself (and any copy of it) is left out."""
        filters, wanted = gather((), kind, narrow), shape_of(sort, diversity, group)
        itself = frozenset[int]()
        if isinstance(image, str | Path) and is_file(Path(image).expanduser()):
            itself = frozenset(self._catalog.segments_of(liking.digest(Path(image).expanduser())))
        nearest = self._open_nearest()
        return self._answer(nearest, self._ask(nearest, Query(), image), filters, wanted, count, itself)

    def duplicates(
        self, folder: str | Path | None = None, *, by: str | Iterable[str] = ("copy", "near-duplicate")
    ) -> list[Group]:
        """Return the groups of files that belong together, those with the most waste first.

        `folder` narrows to what is under it, absolute or by name. `by` names one or more reasons: copy,
        pair, near-duplicate, burst. Nothing is changed, here or on the disk. Raises QueryError.
        """
        reasons, under = reasons_of(by), gather((), None, {"under": folder}).under
        files = facts_of_files(self._catalog, *under)
        if folder is not None and not files:
            raise QueryError(f"No file under {folder} is in the library; `clew status` lists its folders.")
        return duplicates(files, likeness_of_files(self._catalog, self._answering(), files), reasons)

    def thumbnail(self, hit: Hit | int) -> bytes | None:
        """Return a small WebP of what a hit shows, at most 320 pixels a side; None where there is none.

        A caption has its picture's; what is said in a video or written on a page has that of the moment or
        the page. A hit may be named by its id.
        """
        if isinstance(hit, Hit):
            return thumbnails.find(self._catalog, hit)
        named = self._catalog.hits([(hit, 0.0)], "", Filters())
        return thumbnails.find(self._catalog, named[0]) if named else None

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
        from retrieval.media.av.clip import cut, moment

        found = hit if isinstance(hit, Hit) else self._find(hit)
        return cut(found.path, Path(out).expanduser(), *moment(found, around), exact=exact, force=force)

    def tags(self) -> dict[str, int]:
        """Return each label and how many segments have it, the most frequent first."""
        return self._catalog.tags()

    def status(self) -> Status:
        """Return what the library holds."""
        return status_of(self._catalog, self._space)

    def failures(self) -> list[Failure]:
        """Return the files that could not be read, and why."""
        return failures(self._catalog)

    def concepts(self) -> list[Taught]:
        """Return the concepts there are, by name, as the space that answers tells them."""
        return concepts.taught(self._catalog, self._open_nearest().space)

    @property
    def damage(self) -> str | None:
        """Say what is wrong with the index file, if anything; answers are right all the same."""
        return self._open_nearest().damage

    @property
    def embedder(self) -> Embedder:
        """Return the embedder of the space that answers."""
        return self._embedder_of(self._open_nearest().space)

    def close(self) -> None:
        """Let go of the library."""
        self._nearest = None
        if self._open is not None:
            self._open.close()
        self._open = None

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
        if self._open is None:
            raise LibraryError(f"The library at {self.folder} is closed; open it again.")
        return self._open

    def _find(self, named: int | str) -> Hit:
        """Return a segment, by its id or by path and time, as a hit, where its file is; raises QueryError."""
        segment = self._moment(named) if isinstance(named, str) else named
        hits = self._catalog.hits([(segment, 1.0)], self._answering().name, Filters())
        if not hits:
            raise QueryError(
                f"There is no segment #{segment} in this library; `clew search ... --json` tells ids."
            )
        return hits[0]

    def _moment(self, named: str) -> int:
        moment = moment_of(named)
        if moment is None:
            raise QueryError(f"{named!r} is no moment; write it as `clip.mp4 @ 01:23.4`, or give its id.")
        path = Path(moment[0]).expanduser().absolute()
        segment = self._catalog.moment_at(path, moment[1])
        if segment is None:
            raise QueryError(f"Nothing that was found begins in {path} at {clock(moment[1])}.")
        return segment

    def _learn(self, nearest: Nearest, liked: "list[Example]", unliked: "list[Example]") -> Probe:
        return liking.learn(nearest, self._embedder_of(nearest.space), liked, unliked)

    def _ask(
        self,
        nearest: Nearest,
        query: Query,
        image: "str | Path | Image | None" = None,
        allow_url: bool = False,
        learned: Probe | None = None,
    ) -> Asked:
        """Embed a query, and beside it a picture and what was learned from examples."""
        embedder = self._embedder_of(nearest.space)
        find = partial(find_known, self._catalog, nearest.space)
        beside = () if image is None else (image,)
        return compose(query, embedder, find, nearest.mean, beside, allow_url, learned)

    def _answer(
        self,
        nearest: Nearest,
        asked: Asked,
        filters: Filters,
        wanted: Shape,
        count: int,
        leave_out: frozenset[int] = frozenset(),
        by: By = "both",
    ) -> list[Hit]:
        if count < 1:
            raise QueryError(f"{count} hits cannot be returned; ask for 1 or more.")
        ask = partial(search_both, self._catalog, nearest, asked, filters, leave_out=leave_out, by=by)
        return shape(lambda most: ask(count=most), count, wanted, nearest, filters)

    def _embedder_of(self, space: Space) -> Embedder:
        """Return the embedder of a space; raises SpaceMismatch where it is not that any more."""
        found = self._given or self._loaded
        if found is None or (self._given is None and found.fingerprint != space.fingerprint):
            found = self._loaded = registry.load(space.name, fingerprint=space.fingerprint)
        if found.fingerprint != space.fingerprint:
            raise SpaceMismatch(found.name, space.name, differences(space.parts, found.parts))
        return found

    def _answering(self) -> Space:
        space = self._catalog.space(self._space)
        if space is None and self._space is not None:
            raise LibraryError(f"The library at {self.folder} has no space {self._space}.")
        if space is None:
            raise LibraryMissing(self._catalog.folder)
        return space

    def _open_nearest(self) -> Nearest:
        """Open the space that answers, again whenever the catalogue has changed."""
        version = self._catalog.version()
        if self._nearest is None or self._nearest[0] != version:
            space = self._answering()
            if self._given is not None:
                self._embedder_of(space)
            nearest = Nearest(self._catalog, space)
            if nearest.damage and self._catalog.space(self._space) != space:  # built anew at this moment
                return self._open_nearest()
            self._nearest = version, nearest
        return self._nearest[1]
