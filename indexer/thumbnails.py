"""Small pictures of what was read, to be shown beside a hit."""

from io import BytesIO

from PIL import Image

SIDE = 320  # pixels of the longer side
QUALITY = 70


def thumbnail(picture: Image.Image) -> bytes:
    """Return a WebP of an upright picture, at most 320 pixels wide and high."""
    small = picture.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    file = BytesIO()
    small.save(file, "WEBP", quality=QUALITY, method=0)  # the quickest; a tenth larger than the best
    return file.getvalue()
