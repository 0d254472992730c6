"""Draw several pictures with their ids as one image."""

import io
import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageOps

SHEET_WIDTH = 1_152  # pixels
MAX_SIDE = 324  # of a place, that of a thumbnail with its margin
LABEL_HEIGHT, MARGIN = 18, 4
MAX_COLUMNS = 6
BACKGROUND, LABEL_COLOR = (24, 24, 24), (235, 235, 235)
JPEG_QUALITY = 85


def contact_sheet(pictures: Sequence[tuple[str, bytes | None]]) -> bytes:
    """Return a JPEG of pictures, each a label and its image, in the given order; None is an empty place."""
    columns = min(MAX_COLUMNS, math.ceil(math.sqrt(len(pictures))))
    side = min(MAX_SIDE, SHEET_WIDTH // columns)
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * side, rows * (side + LABEL_HEIGHT)), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for place, (label, data) in enumerate(pictures):
        left, top = place % columns * side, place // columns * (side + LABEL_HEIGHT)
        draw.text((left + 4, top + 3), label, LABEL_COLOR)
        if data is not None:
            with Image.open(io.BytesIO(data)) as image:
                picture = ImageOps.contain(image.convert("RGB"), (side - MARGIN, side - MARGIN))
            at = (left + (side - picture.width) // 2, top + LABEL_HEIGHT + (side - picture.height) // 2)
            sheet.paste(picture, at)
    return encode_jpeg(sheet)


def encode_jpeg(image: Image.Image) -> bytes:
    """Return an image as JPEG."""
    with io.BytesIO() as file:
        image.convert("RGB").save(file, "JPEG", quality=JPEG_QUALITY)
        return file.getvalue()
