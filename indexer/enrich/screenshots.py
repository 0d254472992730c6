"""Recognize screenshots by their names, to suggest reading their text."""

import os
import re
from unicodedata import normalize

from indexer.decode.registry import OCR
from indexer.types import FileEntry
from retrieval.formatting import pluralize

SCREENSHOT_NAME = re.compile(  # as desktops and phones name them, in several languages
    r"screen[ _-]?(shot|cap|grab)|bildschirm(foto|aufnahme)|capture[ _]d.{0,2}[eé]cran|schermata|zrzut ekranu"
    r"|captura[ _]de[ _](pantalla|tela|ecr[aã])|schermafbeelding|schermopname|sk[aä]rm(avbild|klipp|bild)"
    r"|снимок экрана|スクリーンショット|屏幕截图|截屏|截圖|螢幕|스크린샷|ekran görüntüsü|^img_\d{4}\.png$",
    re.IGNORECASE,
)


def is_screenshot(entry: FileEntry) -> bool:
    """Return True if the name of an image, or of its folder, is that of a screenshot."""
    folder, name = os.path.split(normalize("NFC", os.fsdecode(entry.path)))
    return entry.decoder == "picture" and any(
        SCREENSHOT_NAME.search(part) for part in (name, os.path.basename(folder))
    )


def unread_screenshots_hint(count: int) -> str:
    """Return a note on how to search screenshots by their text."""
    install = "" if OCR.installed else 'pip install "clew-search[ocr]", then '
    was = "was" if count == 1 else "were"
    return f"{pluralize(count, 'screenshot')} {was} not read for text. To read: {install}`clew index --ocr`."
