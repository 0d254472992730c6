"""Make the thumbnails that are shown with hits."""

from io import BytesIO

from PIL import Image, WebPImagePlugin

from indexer.decode.images.placeholder import make_placeholder

THUMBNAIL_SIDE = 320  # pixels of the longer side
FORMAT = WebPImagePlugin.WebPImageFile.format  # imported above, else Pillow imports all of its formats
WEBP_QUALITY = 70
MAX_PROFILE_BYTES = 1_000  # of a color profile; Display P3 and Adobe RGB take half of it


def make_thumbnail(image: Image.Image) -> bytes:
    """Return a thumbnail of an upright RGB image as WebP, at most 320 pixels a side, and its placeholder."""
    scale = min(1.0, THUMBNAIL_SIDE / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    # A gap of 1 takes half the time of 2; pixels differ by 1 of 255 on average.
    small = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=1.0)
    file = BytesIO()
    # Method 0 takes half the time of 2, a quarter of Pillow's default 4, and 20 % more bytes.
    small.save(file, FORMAT, quality=WEBP_QUALITY, method=0, icc_profile=_rgb_profile(image))
    return file.getvalue() + make_placeholder(small)


def _rgb_profile(image: Image.Image) -> bytes | None:
    """Return the color profile if it is small and for RGB."""
    profile = image.info.get("icc_profile") or b""
    return profile if len(profile) <= MAX_PROFILE_BYTES and profile[16:20] == b"RGB " else None
