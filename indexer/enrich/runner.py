"""Read what takes long, when all else can be found already: text in pictures, speech, and sounds."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from time import monotonic

from indexer.decode.reader import open_again
from indexer.embed.archive_order import in_turn
from indexer.embed.long_texts import NOTHING, embed_whole
from indexer.enrich import ocr, sound_events, speech
from indexer.enrich.base import Finder, Part
from indexer.enrich.settings import Wish
from indexer.enrich.sound_events import Listener
from indexer.enrich.speech import Transcriber
from indexer.prefetch import ahead
from indexer.store.analyses import How, Piece, Source, due, moments, write
from indexer.store.writer import Writer
from retrieval.errors import EmbedderError, ExtraMissing
from retrieval.formatting import some

MOST = 64  # parts in one transaction
TITLES: dict[How, str] = {"ocr": "text in pictures", "speech": "speech", "sounds": "known sounds"}
OFTEN = 5.0  # seconds after which what was found is committed

Advance = Callable[[str, int, int], None]  # what is looked for, contents done, contents to do


@dataclass(slots=True)
class Later:
    """What was found: segments by kind, notes, and how many files an extra that is missing would read."""

    kinds: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    lacking: Counter[str] = field(default_factory=Counter)


def read_later(writer: Writer, wish: Wish, advance: Advance, *, new_sounds: int = 0) -> Later:
    """Look over what was not looked over yet, in batches, each committed; the next run goes on from there.

    Of new sounds that nobody listens to is said how they are heard.
    """
    later, embedder = Later(), writer.embedder
    if writer.catalog.setting("ocr"):
        reading = Search(writer, "ocr", ocr.VERSION, later, advance)
        reading.run(ocr.READERS, lambda: ocr.Ocr(embedder, partial(moments, writer)))
    if by := wish.transcriber or writer.catalog.setting("speech"):
        name = by if isinstance(by, str) else by.name
        listening = Search(writer, "speech", name, later, advance)
        listening.run(speech.READERS, lambda: speech.Speech(_whisper(by), embedder))
    if namer := wish.listener or writer.catalog.setting("sounds"):
        name = sound_events.version(namer) if isinstance(namer, str) else namer.name
        naming = Search(writer, "sounds", name, later, advance)
        naming.run(sound_events.READERS, lambda: sound_events.Hearing(_clap(namer)))
    if new_sounds and not by and not namer:
        later.notes.append(_hint(new_sounds))
    return later


def _hint(sounds: int) -> str:
    here = find_spec("faster_whisper") is not None
    first = "" if here else 'pip install "clew-search[audio]", then '
    return (
        f"What is said in {some(sounds, 'sound')} cannot be searched yet, nor what else sounds there; tags "
        f"and names can. For speech: {first}`clew index --speech-model small` (484 MB, fetched once), or the "
        "folder of a faster-whisper model. For a dog, rain, a guitar: `clew index --sound-model "
        "laion/clap-htsat-unfused` (615 MB), or the folder of a CLAP model."
    )


def _whisper(model: str | Transcriber) -> Transcriber:
    from indexer.enrich.whisper import Whisper  # heavy

    return Whisper(model) if isinstance(model, str) else model


def _clap(model: str | Listener) -> Listener:
    from indexer.enrich.clap import Clap

    return Clap(model) if isinstance(model, str) else model


@dataclass(frozen=True, slots=True)
class Search:
    """A search of contents for words, in one way, by one version of what finds them."""

    writer: Writer
    how: How
    version: str
    later: Later
    advance: Advance

    def run(self, readers: Sequence[str], make: Callable[[], Finder]) -> None:
        """Look over what is due of some readers; only if anything is, its finder is made."""
        sources = due(self.writer, self.how, self.version, readers)
        if not sources:
            return
        self.advance(TITLES[self.how], 0, len(sources))
        try:
            self._look_over(sources, make())
        except ExtraMissing as error:
            self.later.lacking[str(error)] += len(sources)
        except EmbedderError as error:
            self.later.notes.append(str(error))

    def _look_over(self, sources: Sequence[Source], finder: Finder) -> None:
        title, look, found, done = TITLES[self.how], Look(), set[int](), 0
        begun = monotonic()
        pieces = ahead(look, _parts(finder, sources), threads=finder.threads, depth=finder.threads + 1)
        for piece in pieces:
            look.held.append(piece)
            if len(look.held) >= MOST or monotonic() - begun > OFTEN:
                self._commit(look.settled())
                begun = monotonic()
            found |= {piece.content} if piece.drafts else set()
            done += piece.upto is None
            self.advance(title, done, len(sources))
        self._commit(look.settled())
        if look.held:  # not one has succeeded: it is not their fault
            self.later.notes.append(f"{title.capitalize()} cannot be found at present: {look.trouble}")
        elif done:
            files = some(done, "file")
            were = "were" if self.how == "sounds" else "was"
            self.later.notes.append(f"{title.capitalize()} {were} found in {len(found):,} of {files}.")

    def _commit(self, pieces: Sequence[Piece]) -> None:
        """Embed and write what was found."""
        embedder = self.writer.embedder
        drafts = [draft for piece in pieces for draft in piece.drafts]
        read = [replace(d, text=d.text if embedder.tokens(d.text or "") else NOTHING) for d in drafts]
        vectors = embed_whole(embedder, read)
        self.later.kinds += write(self.writer, self.how, self.version, pieces, vectors)


class Look:
    """Looks a part over, in any thread; one that fails holds nothing, if others succeed."""

    def __init__(self) -> None:
        self.held: list[Piece] = []
        self.trouble: Exception | None = None
        self.works = False

    def __call__(self, given: tuple[int, Part]) -> Piece:
        """Return what is found in a part of a content."""
        content, part = given
        try:
            drafts = part.look()
        except Exception as error:  # what one does to the library that reads it must not cost the others
            self.trouble = error
            return Piece(content, [], part.upto)
        self.works = True
        return Piece(content, drafts, part.upto)

    def settled(self) -> list[Piece]:
        """Return what is held and can be written, once."""
        if self.trouble is not None and not self.works:
            return []
        pieces, self.held = self.held, []
        return pieces


def _parts(finder: Finder, sources: Sequence[Source]) -> Iterator[tuple[int, Part]]:
    """Yield what there is to look over; what is not there as it was waits for a later run."""
    for source, opener in in_turn(sources, lambda source: source.place):
        try:
            with open_again(source.digest, source.place, opener) as file:
                if file is None:
                    continue
                with closing(finder.parts(file, source)) as parts:
                    yield from ((source.content, part) for part in parts)
        except (OSError, ExtraMissing):  # it has gone since, or cannot be opened at present
            continue
        except Exception:  # it cannot be looked over, now or later
            yield source.content, Part(list, None)
