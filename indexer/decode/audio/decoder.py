"""A sound: one segment of what it says of itself, and passages of its comment and its lyrics."""

import re
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO
from unicodedata import normalize

from indexer.decode.audio.stream import first_sound, frames, open_media, seconds
from indexer.decode.base import Decoded, Draft
from indexer.decode.images.thumbnail import SIDE, thumbnail
from indexer.decode.text.chunking import split
from retrieval.embedders.base import Embedder
from retrieval.errors import MediaError
from retrieval.media.images.loader import load_image
from retrieval.types import MediaProperties

if TYPE_CHECKING:
    from av.container import InputContainer

PLAIN = "sound recording"  # of a sound that says nothing: its file's name is searched beside
MOST = 100  # letters of a tag
LONGEST = 20_000  # letters of a comment or of lyrics
COVER = 40_000_000  # pixels
SPOKEN = ("comment", "description", "synopsis", "lyrics", "unsyncedlyrics")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffd]+")


def decode(file: BinaryIO, suffix: str, embedder: Embedder) -> Decoded:
    """Read tags, duration and cover, and see that something can be heard; raises MediaError."""
    with open_media(file) as container:
        stream = first_sound(container)
        tags = _tags(container, stream)
        cover = _cover(container)
        if next(frames(container, stream), None) is None:
            raise MediaError("damaged: none of its sound can be decoded")
        length = seconds(container, stream)
    text = told(tags)
    plain = None if embedder.count_tokens(text) else embedder.embed_texts([PLAIN])[0]
    drafts = [Draft("audio", text=text, start=0.0, end=length, vector=plain, thumbnail=cover)]
    for said in dict.fromkeys(tags[name] for name in tags if name.partition("-")[0] in SPOKEN):
        passages = split(said[:LONGEST], embedder.count_tokens, embedder.max_tokens)
        drafts += [Draft("text", text=passage.text) for passage in passages]
    return Decoded(drafts, MediaProperties(duration=length, keywords=_genres(tags)))


def told(tags: Mapping[str, str]) -> str:
    """Return what a sound says of itself: `title by artist, from album, genre, year`."""
    short = {name: " ".join(value.split())[:MOST] for name, value in tags.items()}
    title, album = short.get("title", ""), short.get("album", "")
    artist = short.get("artist") or short.get("album_artist") or short.get("composer", "")
    by = " by ".join(filter(None, (title, artist))) if title else artist
    year = re.search(r"\b\d{4}\b", short.get("date", ""))
    parts = (by, f"from {album}" * bool(album), ", ".join(_genres(tags)), year[0] if year else "")
    text = ", ".join(filter(None, parts))
    return text if any(letter.isalpha() for letter in text) else PLAIN


def _tags(container: "InputContainer", stream: Any) -> dict[str, str]:
    """Return the tags of the file and of its sound, names in small letters, clean."""
    both = [*stream.metadata.items(), *container.metadata.items()]
    clean = {name.lower(): normalize("NFC", _CONTROL.sub(" ", value)).strip() for name, value in both}
    return {name: value for name, value in clean.items() if value}


def _genres(tags: Mapping[str, str]) -> tuple[str, ...]:
    names = (" ".join(name.split())[:MOST] for name in re.split(r"[;,/]", tags.get("genre", "")[:LONGEST]))
    return tuple(dict.fromkeys(name for name in names if name))[:10]


def _cover(container: "InputContainer") -> bytes | None:
    """Return a small picture of the cover; None where there is none that can be read."""
    from av.stream import Disposition

    pictures = [s for s in container.streams.video if s.disposition & Disposition.attached_pic]
    if not pictures:
        return None
    try:
        data = bytes(next(container.demux(pictures[0])))
        return thumbnail(load_image(BytesIO(data), min_side=SIDE, max_pixels=COVER))
    except Exception:  # a cover that is broken costs no sound
        return None
