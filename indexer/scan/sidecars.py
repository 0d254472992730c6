"""Pair captions with images and subtitles with videos by file name."""

import os
from collections.abc import Iterable, Iterator

from indexer.decode.registry import CAPTION_SUFFIXES, DECODER_BY_SUFFIX
from retrieval.normalization import nfc

MEDIA_DECODERS = ("picture", "video", "sound")
MAX_SUBTITLE_TAGS = 2  # parts between the name of a video and .srt: a language, and "forced" or "sdh"

_DECODERS_BY_SUFFIX = {suffix.encode(): (decoder, None) for suffix, decoder in DECODER_BY_SUFFIX.items()}
_SIDECAR_SUFFIXES = frozenset(suffix.encode() for suffix in CAPTION_SUFFIXES)


def name_stem(name: bytes) -> bytes:
    """Return the part of a name that an image shares with its captions: all before the first dot, in NFC."""
    return nfc(name[:1] + name[1:].partition(b".")[0])


def has_decoder(name: bytes) -> bool:
    """Return True if a file of this name has a decoder, or has one next to an image."""
    suffix = name[name.rfind(b".") :].lower()
    return suffix in _DECODERS_BY_SUFFIX or suffix in _SIDECAR_SUFFIXES


def assign_decoders(names: list[bytes]) -> dict[bytes, tuple[str, bytes | None]]:
    """Return name -> decoder and, for a caption, its image; for subtitles, their video.

    `photo.txt` and `photo.jpg.txt` are captions of `photo.jpg`; a `.json` only if there is no `.txt`. Other
    metadata of a media file, such as `clip.mp4.json`, has no decoder. Names that are not equal are compared
    in NFC: macOS decomposes names.
    """
    decoders: dict[bytes, tuple[str, bytes | None]] = {}
    sidecars: list[tuple[bytes, bytes, bytes]] = []  # name, name without its suffix, suffix
    for name in names:
        suffix = name[name.rfind(b".") :].lower()
        if suffix in _DECODERS_BY_SUFFIX:
            decoders[name] = _DECODERS_BY_SUFFIX[suffix]
        if suffix in _SIDECAR_SUFFIXES:
            sidecars.append((name, name[: -len(suffix)], suffix))
    _pair_subtitles(decoders)
    if not sidecars:
        return decoders
    images = _names_and_stems(decoders, "picture")
    stems_of_texts = {nfc(stem) for _, stem, suffix in sidecars if suffix == b".txt"}
    for name, stem, suffix in sidecars:
        image = images.get(stem) or images.get(nfc(stem))
        if image and (suffix != b".json" or nfc(stem) not in stems_of_texts):
            decoders[name] = ("caption", image)
        elif image or (suffix == b".json" and _is_metadata(stem, decoders)):
            decoders.pop(name, None)
    return decoders


def assign_archive_decoders(names: Iterable[bytes]) -> Iterator[tuple[bytes, str, bytes | None]]:
    """Yield name, decoder and sidecar target of the files in an archive, folder by folder."""
    folders: dict[bytes, list[bytes]] = {}
    for path in names:
        folder, slash, name = path.rpartition(b"/")
        folders.setdefault(folder + slash, []).append(name)
    for prefix, names_in_folder in folders.items():
        for name, (decoder, target) in assign_decoders(names_in_folder).items():
            yield prefix + name, decoder, None if target is None else prefix + target


def _is_metadata(stem: bytes, decoders: dict[bytes, tuple[str, bytes | None]]) -> bool:
    """Return True for the name of a media file, or with one more part as in the exports of Google Photos."""
    names = (stem, os.path.splitext(stem)[0])  # clip.mp4, and clip.mp4 of clip.mp4.supplemental-metadata
    return any(name in decoders and decoders[name][0] in MEDIA_DECODERS for name in names)


def _pair_subtitles(decoders: dict[bytes, tuple[str, bytes | None]]) -> None:
    """Pair subtitles with videos: `clip.srt`, `clip.en.srt` and `clip.en.forced.srt` with `clip.mp4`."""
    subtitles = [name for name, (decoder, _) in decoders.items() if decoder == "subtitles"]
    if not subtitles:
        return
    videos = _names_and_stems(decoders, "video")
    for name in subtitles:
        stem = os.path.splitext(name)[0]
        for _ in range(MAX_SUBTITLE_TAGS + 1):
            if video := videos.get(stem) or videos.get(nfc(stem)):
                decoders[name] = ("subtitles", video)
                break
            stem = os.path.splitext(stem)[0]


def _names_and_stems(decoders: dict[bytes, tuple[str, bytes | None]], decoder: str) -> dict[bytes, bytes]:
    """Return name -> name, and name without suffix -> first name, of the files with a decoder.

    Names in NFC come last, so that equal names are preferred.
    """
    targets: dict[bytes, bytes] = {}
    for name in sorted(name for name, (assigned, _) in decoders.items() if assigned == decoder):
        targets[name] = name
        targets.setdefault(os.path.splitext(name)[0], name)
    for key, name in [item for item in targets.items() if not item[0].isascii()]:
        targets.setdefault(nfc(key), name)
    return targets
