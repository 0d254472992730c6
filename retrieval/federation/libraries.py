"""Several libraries, searched as one list that is merged by calibrated confidence."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from retrieval.catalog.reader import Catalog
from retrieval.embedders.base import Embedder
from retrieval.embedders.registry import load_space_embedder
from retrieval.errors import ClewError, LibraryError, QueryError
from retrieval.federation.remote_library import RemoteLibrary
from retrieval.library import Library
from retrieval.query.ast import Query, Segment
from retrieval.query.input_types import as_count, as_examples, as_image, as_kinds, as_query, check_options
from retrieval.query.options import DEFAULT_OPTIONS, SearchOptions
from retrieval.search.kind_hits import result_key
from retrieval.search.results import merge_by_confidence, sort_hits
from retrieval.system import distinct_libraries, expand_user, is_server_address
from retrieval.types import Hit, Hits, Space

if TYPE_CHECKING:
    from PIL.Image import Image

Answer = TypeVar("Answer")
Member: TypeAlias = Library | RemoteLibrary


class Libraries:
    """Several libraries, of this machine or of servers, with one list of hits.

    ```python
    with Libraries.open(["~/photos", "http://server:8765"]) as libraries:
        for hit in libraries.search("a dog on the beach"):
            print(hit.library, hit.path)
    ```

    Each library rates its own hits against its own background queries, also if their models differ.
    """

    def __init__(self, members: dict[str, Member]) -> None:
        self.members = members  # name -> library

    @classmethod
    def open(
        cls, places: Iterable[str | Path], token: str | None = None, *, milvus_token: str | None = None
    ) -> "Libraries":
        """Open the libraries in folders and at http(s) addresses; servers are sent the token.

        `milvus_token` is that of the Milvus servers of the libraries in folders.
        A model that several libraries use is loaded once. Raises LibraryError.
        """
        names = distinct_libraries(map(str, places))
        if not names:
            raise LibraryError("No library to search. Give a folder or an address.")
        load = _shared(load_space_embedder)
        members = dict[str, Member]()
        with ExitStack() as opened:
            for name in names:
                if is_server_address(name):
                    members[name] = RemoteLibrary(name, token)
                else:
                    catalog = Catalog.open(expand_user(name).absolute())
                    library = Library(catalog, token=milvus_token, load_embedder=load)
                    members[name] = opened.enter_context(closing(library))
            opened.pop_all()
        return cls(members)

    def search(
        self,
        words: str | Query | None = None,
        *,
        image: "str | Path | Image | None" = None,
        like: "str | Path | Image | Iterable[str | Path | Image]" = (),
        unlike: "str | Path | Image | Iterable[str | Path | Image]" = (),
        kind: str | Iterable[str] | None = None,
        count: int = 10,
        options: SearchOptions = DEFAULT_OPTIONS,
    ) -> Hits:
        """Return the best `count` hits of all libraries, best first, each with its `library`.

        The arguments are those of `Library.search`, without ids: an id belongs to one library. A file in
        several libraries is returned once. Copies and similar files are grouped within each library. If some
        libraries cannot answer, the note says why. Raises ClewError if none can.
        """
        query, count, kind = self.parse(words), as_count(count), as_kinds(kind)
        liked, unliked = as_examples(like), as_examples(unlike)
        image = None if image is None else as_image(image)
        check_options(options)
        if any(isinstance(each, Segment | int) for each in (*query.operands, *liked, *unliked)):
            raise QueryError("An id belongs to one library. Name the file instead, or search one library.")
        is_listing = not (image or liked or unliked or any(part.terms for part in query.alternatives))
        ranked = options if is_listing else replace(options, sort="score")
        answers, errors = self._ask(
            lambda member: member.search(
                query, image=image, like=liked, unlike=unliked, kind=kind, count=count, options=ranked
            )
        )
        if not answers:
            raise next(iter(errors.values()))
        merged = merge_by_confidence(
            [[_from(name, hit) for hit in hits] for name, hits in answers.items()], file_key
        )
        if is_listing or are_listed(merged):
            order = "date-desc" if options.sort == "score" else options.sort
            merged = sort_hits(merged, order)[:count]
        else:
            merged = sort_hits(merged[:count], options.sort)
        notes = [f"{name}: {hits.note}" for name, hits in answers.items() if hits.note]
        notes += [f"{name} is not searched: {error}" for name, error in errors.items()]
        return Hits(merged, "\n".join(notes) or None)

    def parse(self, words: str | Query | None) -> Query:
        """Return the tree of a query; each library writes out its own saved searches. Raises QueryError."""
        return as_query(words)

    def unknown_filter_values(
        self, words: str | Query | None = None, options: SearchOptions = DEFAULT_OPTIONS, found: bool = False
    ) -> list[str]:
        """Return a message for each value of a filter that a library does not have, if all lack one."""
        query = self.parse(words)
        answers, _ = self._ask(lambda member: member.unknown_filter_values(query, options, found))
        return unknown_in_all(answers)

    def text(self, hit: Hit) -> str | None:
        """Return the text of a hit, for a page the text on it."""
        return self._member_of(hit).text(hit)

    def thumbnail(self, hit: Hit | int) -> bytes | None:
        """Return the thumbnail of a hit, if any."""
        if not isinstance(hit, Hit):
            raise QueryError("An id belongs to one library. Give a hit.")
        return self._member_of(hit).thumbnail(hit)

    @property
    def damage(self) -> str | None:
        """Return the problems with the index files, if any."""
        answers, _ = self._ask(lambda member: member.damage)
        return "\n".join(filter(None, answers.values())) or None

    @property
    def is_outdated(self) -> bool:
        """Return True if the model of a library is no longer part of clew."""
        return any(self._ask(lambda member: member.is_outdated)[0].values())

    def close(self) -> None:
        """Close the libraries."""
        for member in self.members.values():
            member.close()

    def __enter__(self) -> "Libraries":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _member_of(self, hit: Hit) -> Member:
        return self.members[str(hit.library)]

    def _ask(self, function: Callable[[Member], Answer]) -> tuple[dict[str, Answer], dict[str, ClewError]]:
        """Call a function with each library, at the same time; return the answers and the errors by name.

        An interrupt waits for the libraries of this machine, which are closed next, but not for servers.
        """
        answers, errors = dict[str, Answer](), dict[str, ClewError]()
        futures = {name: Future[Answer]() for name in self.members}
        servers = {name for name, member in self.members.items() if isinstance(member, RemoteLibrary)}
        try:
            for name, member in self.members.items():
                Thread(target=_call, args=(futures[name], function, member), daemon=name in servers).start()
            for name, future in futures.items():
                try:
                    answers[name] = future.result()
                except ClewError as error:
                    errors[name] = error
        finally:
            _end([future for name, future in futures.items() if name not in servers])
        return answers, errors


def _call(future: Future[Answer], function: Callable[[Member], Answer], member: Member) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function(member))
    except BaseException as error:
        future.set_exception(error)


def _end(futures: Iterable[Future[Answer]]) -> None:
    """Cancel the calls that have not begun, and wait for the others, also if Ctrl-C is pressed again."""
    running = [future for future in futures if not future.cancel()]
    try:
        wait(running)
    except KeyboardInterrupt:
        _end(running)
        raise


def unknown_in_all(messages: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the messages of libraries on unknown values of filters, with their names, if all have one."""
    if not all(messages.values()):
        return []
    return [f"{name}: {message}" for name, each in messages.items() for message in each]


def _from(name: str, hit: Hit) -> Hit:
    """Return a hit, with the rest of its group, of a library."""
    return replace(hit, library=name, more=tuple(_from(name, member) for member in hit.more))


def are_listed(hits: Iterable[Hit]) -> bool:
    """Return True if hits only passed filters, which a saved search may consist of."""
    return not any(hit.score or hit.has_words or hit.confidence is not None for hit in hits)


def file_key(hit: Hit) -> Hashable:
    """Return a key that hits of the same file or passage share; a path on a server is not a local one."""
    key = result_key(hit)
    place = (hit.path, hit.kind, hit.start, hit.end, hit.text) if isinstance(key, int) else key
    return (hit.library if is_server_address(str(hit.library)) else None), place


def _shared(load: Callable[[Space], Embedder]) -> Callable[[Space], Embedder]:
    """Return a function that loads each model once, also from several threads."""
    loaded, lock = dict[str, Embedder](), Lock()

    def load_once(space: Space) -> Embedder:
        with lock:
            if space.fingerprint not in loaded:
                loaded[space.fingerprint] = load(space)
            return loaded[space.fingerprint]

    return load_once
