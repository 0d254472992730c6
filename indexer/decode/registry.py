"""File formats: their suffixes, their decoder, and how their contents are found.

Decoder names are stored in libraries.
"""

import os
from dataclasses import dataclass
from importlib.util import find_spec

from indexer.decode.text.letter_encodings import language_in_name
from retrieval.catalog.schema import DECODERS_OF_OTHER_FILES
from retrieval.types import Kind


@dataclass(frozen=True, slots=True)
class Extra:
    """An optional dependency, installed by `pip install "clew-search[NAME]"`."""

    name: str
    module: str  # that it installs

    @property
    def installed(self) -> bool:
        """Return True if its module is installed here."""
        return find_spec(self.module) is not None


@dataclass(frozen=True, slots=True)
class FileFormat:
    """File formats that are decoded and found in the same way."""

    decoder: str
    kind: Kind  # of its first segment
    suffixes: tuple[str, ...]  # of a file on its own; its content decides between image formats
    found_by: str
    extra: Extra | None = None


OCR = Extra("ocr", "rapidocr")
AUDIO = Extra("audio", "faster_whisper")
RAW = Extra("raw", "rawpy")
SVG = Extra("svg", "resvg_py")
JXL = Extra("jxl", "pillow_jxl")

_IMAGE_SUFFIXES = """.jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .dib .tif .tiff .heic .heif .hif .avif
    .jp2 .j2k .j2c .jpc .jpf .jpx .psd .psb .ico .cur .tga .ppm .pgm .pbm .pnm .pfm"""
_RAW_SUFFIXES = """.cr2 .cr3 .nef .nrw .arw .sr2 .srf .dng .rw2 .rwl .orf .raf .pef .srw .3fr"""
_VIDEO_SUFFIXES = ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .vob .ts .mts .m2ts .3gp .wmv .flv .ogv"
_AUDIO_SUFFIXES = ".mp3 .wav .flac .m4a .aac .ogg .oga .opus .wma .aiff .aif .amr .mka"
_TEXT_SUFFIXES = ".txt .text .md .markdown .rst .org .adoc .asciidoc .tex"
_SOURCE_SUFFIXES = """.py .js .mjs .cjs .jsx .tsx .java .kt .c .h .cc .cpp .hpp .cs .go .rs .rb .php .swift
    .scala .lua .pl .r .jl .sh .bash .zsh .fish .ps1 .bat .sql .css .scss .vue .json .json5 .yaml .yml .toml
    .ini .cfg .conf .properties .log .diff .patch .bib"""  # .ts is a video
_OFFICE_SUFFIXES = ".docx .docm .dotx .odt .ott .epub .rtf .pptx .pptm .ppsx .odp .xlsx .xlsm .ods"


def _format(decoder: str, kind: Kind, suffixes: str, found_by: str, extra: Extra | None = None) -> FileFormat:
    return FileFormat(decoder, kind, tuple(suffixes.split()), found_by, extra)


FILE_FORMATS = (
    _format("picture", "image", _IMAGE_SUFFIXES, "its content and embedded captions; its text by --ocr", OCR),
    _format("picture", "image", _RAW_SUFFIXES, "its preview, or the extra's rendering", RAW),
    _format("picture", "image", ".svg .svgz", "its content, drawn by the extra", SVG),
    _format("picture", "image", ".jxl", "its content, decoded by the extra", JXL),
    _format("video", "video", _VIDEO_SUFFIXES, "its scenes and subtitles; speech by --speech-model", AUDIO),
    _format(
        "subtitles", "text", ".srt .vtt .ass .ssa .sub", "the subtitles, with the video of the same name"
    ),
    _format("sound", "audio", _AUDIO_SUFFIXES, "tags and file name; speech by --speech-model", AUDIO),
    _format("document", "page", ".pdf", "its pages and passages; scanned text by --ocr", OCR),
    _format("office", "text", _OFFICE_SUFFIXES, "passages of its text"),
    _format("web", "text", ".html .htm .xhtml .mht .mhtml", "passages of its visible text"),
    _format("message", "text", ".eml", "its subject, people, text and names of attachments"),
    _format("text", "text", _TEXT_SUFFIXES, "passages of its text"),
    _format("text", "text", _SOURCE_SUFFIXES, "the first passages of the code, data or log"),
    _format("text", "text", ".ics", "its events"),
    _format(
        *("table", "text", ".csv .tsv .jsonl .ndjson"),
        "captions, with the image that each row names; rows of a .csv or .tsv without captions",
    ),
)
SIDECAR_FORMAT = _format("caption", "text", ".txt .json .xmp", "captions, with the image of the same name")

DECODER_BY_SUFFIX = {suffix: entry.decoder for entry in FILE_FORMATS for suffix in entry.suffixes}
SOURCE_SUFFIXES = frozenset(_SOURCE_SUFFIXES.split())
CAPTION_SUFFIXES = frozenset(SIDECAR_FORMAT.suffixes)
TEXT_DECODERS = frozenset(("text", "caption", "table", "subtitles"))  # whose files declare no encoding
_VARIANTS = {  # decoder -> suffix -> how it is decoded, if that is not as files of most suffixes
    "text": dict.fromkeys(SOURCE_SUFFIXES, "source") | {".csv": "rows", ".tsv": "rows", ".ics": "calendar"},
    "table": {".jsonl": "lines", ".ndjson": "lines"},
    "caption": {".json": "json", ".xmp": "xmp"},
    "web": {".mht": "mime", ".mhtml": "mime"},
}


def describes_other_files(decoder: str) -> bool:
    """Return True if the segments of this decoder belong to the files that they name."""
    return decoder in DECODERS_OF_OTHER_FILES


def content_decoder(decoder: str, path: bytes) -> str:
    """Return the decoder of a content: that of its file, and what it reads of the name of the file.

    The same bytes are other segments in "text/source" and in "text", or in "subtitles/he".
    """
    name = os.fsdecode(os.path.basename(path))
    variant = _VARIANTS.get(decoder, {}).get(os.path.splitext(name)[1].lower())
    language = language_in_name(name) if decoder in TEXT_DECODERS else None
    return "/".join(filter(None, (decoder, variant, language)))


def file_decoder(decoder: str) -> str:
    """Return the decoder of the files of a content with this decoder."""
    return decoder.partition("/")[0]
