"""File suffix -> decoder name, and the properties of decoders."""

from retrieval.catalog.schema import DECODERS_OF_OTHER_FILES

DECODER_BY_SUFFIX: dict[
    str, str
] = {  # suffix -> decoder; the file's own bytes say which picture format it is
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif"), "picture"),
    **dict.fromkeys((".bmp", ".dib", ".tif", ".tiff"), "picture"),
    **dict.fromkeys((".heic", ".heif", ".hif", ".avif", ".jxl", ".apng"), "picture"),
    **dict.fromkeys((".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"), "picture"),
    **dict.fromkeys((".psd", ".psb", ".ico", ".cur", ".tga", ".svg", ".svgz"), "picture"),
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm", ".pfm"), "picture"),
    **dict.fromkeys((".cr2", ".cr3", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".dng"), "picture"),
    **dict.fromkeys((".rw2", ".rwl", ".orf", ".raf", ".pef", ".srw", ".3fr"), "picture"),
    **dict.fromkeys((".mp3", ".wav", ".flac", ".m4a", ".aac", ".ogg", ".oga", ".opus"), "sound"),
    **dict.fromkeys((".wma", ".aiff", ".aif", ".amr", ".mka"), "sound"),
    **dict.fromkeys(
        (".txt", ".text", ".md", ".markdown", ".rst", ".org", ".adoc", ".asciidoc", ".tex"), "text"
    ),
    ".pdf": "document",
    **dict.fromkeys((".html", ".htm", ".xhtml", ".mht", ".mhtml"), "web"),
    **dict.fromkeys((".docx", ".docm", ".dotx", ".odt", ".ott", ".epub", ".rtf"), "office"),
    **dict.fromkeys((".pptx", ".pptm", ".ppsx", ".odp"), "office"),
    **dict.fromkeys((".csv", ".tsv", ".jsonl", ".ndjson"), "table"),
    **dict.fromkeys((".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"), "video"),
    **dict.fromkeys((".ts", ".mts", ".m2ts", ".3gp", ".wmv", ".flv", ".ogv"), "video"),
    **dict.fromkeys((".srt", ".vtt", ".ass", ".ssa", ".sub"), "subtitles"),
}

CAPTION_SUFFIXES = frozenset((".txt", ".json", ".xmp"))  # beside a picture


def describes_other_files(decoder: str) -> bool:
    """Return True if the segments of this decoder belong to the files that they name."""
    return decoder in DECODERS_OF_OTHER_FILES
