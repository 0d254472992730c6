"""Parts of a picture that are looked at by themselves: squares along a panorama, tiles for small things."""

from collections.abc import Iterator

from PIL import Image

Box = tuple[int, int, int, int]  # left, top, width, height

WIDE = 2.5  # times as long as high, or as high as long: a panorama
MOST = 8  # crops of one; of a longer strip each is longer
OVERLAP = 0.25  # of a crop with the next
THIN = 64  # pixels: what is thinner is a line
PART = 0.55  # of each side of a picture that a tile has
LEAST = 128  # pixels of the shorter side of a picture that gets tiles


def panorama_boxes(width: int, height: int) -> list[Box]:
    """Return squares from end to end of a very wide or very high picture, each overlapping the next."""
    long, short = max(width, height), min(width, height)
    if short < THIN or long <= WIDE * short:
        return []
    step = short * (1 - OVERLAP)
    count = min(MOST, -int(-(long - short) // step) + 1)
    side = max(short, round(long / (count - (count - 1) * OVERLAP)))
    starts = [round(n * (long - side) / (count - 1)) for n in range(count)]
    if width > height:
        return [(start, 0, side, short) for start in starts]
    return [(0, start, short, side) for start in starts]


def tile_boxes(width: int, height: int) -> list[Box]:
    """Return the four corners of a picture and its middle, which overlap; nothing of one that is small."""
    if min(width, height) < LEAST:
        return []
    across, down = round(PART * width), round(PART * height)
    right, below = width - across, height - down
    corners = [(left, top, across, down) for top in (0, below) for left in (0, right)]
    return [*corners, (right // 2, below // 2, across, down)]


def crop(picture: Image.Image, box: Box, width: int, height: int) -> Image.Image:
    """Return a part of a picture that may be decoded smaller than `width` x `height`, where the box is."""
    across, down = picture.width / width, picture.height / height
    left, top, wide, high = box
    return picture.crop(
        (
            *(round(left * across), round(top * down)),
            *(max(1, round((left + wide) * across)), max(1, round((top + high) * down))),
        )
    )


def crops(
    picture: Image.Image, boxes: list[Box], width: int, height: int
) -> Iterator[tuple[Box, Image.Image]]:
    """Yield each box with the part of the picture that is in it."""
    for box in boxes:
        yield box, crop(picture, box, width, height)
