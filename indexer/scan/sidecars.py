"""Pair captions with images and subtitles with videos by file name."""

import os
from collections.abc import Iterable, Iterator

from indexer.decode.registry import CAPTION_SUFFIXES, DECODER_BY_SUFFIX

MAX_SUBTITLE_TAGS = 2  # parts between the name of a video and .srt: a language, and "forced" or "sdh"

_DECODERS_BY_SUFFIX = {suffix.encode(): (reader, None) for suffix, reader in DECODER_BY_SUFFIX.items()}

_SIDECAR_SUFFIXES = frozenset(suffix.encode() for suffix in CAPTION_SUFFIXES)


def name_stem(name: bytes) -> bytes:
    """Return the part of a name that an image shares with its captions: all before the first dot."""
    return name[:1] + name[1:].partition(b".")[0]


def has_decoder(name: bytes) -> bool:
    """Return True if a file of this name has a decoder, or has one next to an image."""
    suffix = name[name.rfind(b".") :].lower()
    return suffix in _DECODERS_BY_SUFFIX or suffix in _SIDECAR_SUFFIXES


def assign_decoders(names: list[bytes]) -> dict[bytes, tuple[str, bytes | None]]:
    """Return name -> decoder and, for a caption, its image; for subtitles, their video.

    `photo.txt` and `photo.jpg.txt` are captions of `photo.jpg`; a `.json` only if there is no `.txt`.
    """
    readers: dict[bytes, tuple[str, bytes | None]] = {}
    beside: list[tuple[bytes, bytes, str]] = []
    for name in names:
        kind = name[name.rfind(b".") :].lower()
        if kind in _DECODERS_BY_SUFFIX:
            readers[name] = _DECODERS_BY_SUFFIX[kind]
        if kind in _SIDECAR_SUFFIXES:
            beside.append((name, name[: -len(kind)], kind.decode()))
    _pair_subtitles(readers)
    if not beside:
        return readers
    pictures: dict[bytes, bytes] = {}
    for name in sorted(name for name, (reader, _) in readers.items() if reader == "picture"):
        pictures[name] = name
        pictures.setdefault(os.path.splitext(name)[0], name)
    captioned = {stem for _, stem, suffix in beside if suffix == ".txt"}
    for name, stem, suffix in beside:
        if stem in pictures and (suffix != ".json" or stem not in captioned):
            readers[name] = ("caption", pictures[stem])
        elif stem in pictures:
            readers.pop(name, None)
    return readers


def assign_archive_decoders(names: Iterable[bytes]) -> Iterator[tuple[bytes, str, bytes | None]]:
    """Yield name, decoder and sidecar target of the files in an archive, folder by folder."""
    folders: dict[bytes, list[bytes]] = {}
    for name in names:
        folder, slash, last = name.rpartition(b"/")
        folders.setdefault(folder + slash, []).append(last)
    for prefix, lasts in folders.items():
        for last, (reader, picture) in assign_decoders(lasts).items():
            yield prefix + last, reader, None if picture is None else prefix + picture


def _pair_subtitles(readers: dict[bytes, tuple[str, bytes | None]]) -> None:
    """Pair subtitles with videos: `clip.srt`, `clip.en.srt` and `clip.en.forced.srt` with `clip.mp4`."""
    subtitles = [name for name, (reader, _) in readers.items() if reader == "subtitles"]
    if not subtitles:
        return
    videos: dict[bytes, bytes] = {}
    for name in sorted(name for name, (reader, _) in readers.items() if reader == "video"):
        videos[name] = name
        videos.setdefault(os.path.splitext(name)[0], name)
    for name in subtitles:
        stem = os.path.splitext(name)[0]
        for _ in range(MAX_SUBTITLE_TAGS + 1):
            if stem in videos:
                readers[name] = ("subtitles", videos[stem])
                break
            stem = os.path.splitext(stem)[0]
