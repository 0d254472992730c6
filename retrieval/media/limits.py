"""Limits on the size of decoded images."""

from retrieval.errors import MediaError


def check_pixel_limit(width: int, height: int, max_pixels: int) -> None:
    """Raise MediaError if an image has more pixels than the limit."""
    if width * height > max_pixels:
        raise MediaError(f"{width} x {height} pixels, more than the limit of {max_pixels:,}")
