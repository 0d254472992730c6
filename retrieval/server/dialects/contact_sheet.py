"""Draw several pictures with their ids as one image."""

import io
import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

SIDE = 324  # pixels of a place, that of a thumbnail with its margin
LABEL_HEIGHT, LABEL_SIZE, MARGIN = 26, 20, 4  # readable in a sheet reduced to half its size, as models see it
MAX_COLUMNS = 6
BACKGROUND, LABEL_COLOR = (24, 24, 24), (235, 235, 235)
JPEG_QUALITY = 85
MAX_SHEET_BYTES = 700_000  # below 1 MB in base64, the limit of common clients for a result
SHEET_QUALITIES = (85, 75, 65, 50, 35, 20, 10)


def contact_sheet(pictures: Sequence[tuple[str, bytes | None]]) -> bytes:
    """Return a JPEG of pictures, each a label and its image, in the given order; None is an empty place."""
    columns = min(MAX_COLUMNS, math.ceil(math.sqrt(len(pictures))))
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * SIDE, rows * (SIDE + LABEL_HEIGHT)), BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(LABEL_SIZE)
    for place, (label, data) in enumerate(pictures):
        left, top = place % columns * SIDE, place // columns * (SIDE + LABEL_HEIGHT)
        draw.text((left + 4, top), label, LABEL_COLOR, font)
        if data is not None:
            with Image.open(io.BytesIO(data)) as image:
                picture = ImageOps.contain(image.convert("RGB"), (SIDE - MARGIN, SIDE - MARGIN))
            at = (left + (SIDE - picture.width) // 2, top + LABEL_HEIGHT + (SIDE - picture.height) // 2)
            sheet.paste(picture, at)
    jpegs = (encode_jpeg(sheet, quality) for quality in SHEET_QUALITIES)
    return next(
        (jpeg for jpeg in jpegs if len(jpeg) <= MAX_SHEET_BYTES), encode_jpeg(sheet, SHEET_QUALITIES[-1])
    )


def encode_jpeg(image: Image.Image, quality: int = JPEG_QUALITY) -> bytes:
    """Return an image as JPEG."""
    with io.BytesIO() as file:
        image.convert("RGB").save(file, "JPEG", quality=quality)
        return file.getvalue()
