"""Parts of a picture that are looked at by themselves: squares along a panorama, tiles for small things."""

from collections.abc import Iterator

from PIL import Image

Box = tuple[int, int, int, int]  # left, top, width, height

MIN_PANORAMA_RATIO = 2.5  # times as long as high, or as high as long: a panorama
MAX_PANORAMA_CROPS = 8  # crops of one; of a longer strip each is longer
CROP_OVERLAP = 0.25  # of a crop with the next
MIN_PANORAMA_SIDE = 64  # pixels: what is thinner is a line
TILE_SIDE_SHARE = 0.55  # of each side of a picture that a tile has
MIN_TILED_SIDE = 128  # pixels of the shorter side of a picture that gets tiles


def panorama_boxes(width: int, height: int) -> list[Box]:
    """Return squares from end to end of a very wide or very high picture, each overlapping the next."""
    long, short = max(width, height), min(width, height)
    if short < MIN_PANORAMA_SIDE or long <= MIN_PANORAMA_RATIO * short:
        return []
    step = short * (1 - CROP_OVERLAP)
    count = min(MAX_PANORAMA_CROPS, -int(-(long - short) // step) + 1)
    side = max(short, round(long / (count - (count - 1) * CROP_OVERLAP)))
    starts = [round(n * (long - side) / (count - 1)) for n in range(count)]
    if width > height:
        return [(start, 0, side, short) for start in starts]
    return [(0, start, short, side) for start in starts]


def tile_boxes(width: int, height: int) -> list[Box]:
    """Return the four corners of a picture and its middle, which overlap; nothing of one that is small."""
    if min(width, height) < MIN_TILED_SIDE:
        return []
    across, down = round(TILE_SIDE_SHARE * width), round(TILE_SIDE_SHARE * height)
    right, below = width - across, height - down
    corners = [(left, top, across, down) for top in (0, below) for left in (0, right)]
    return [*corners, (right // 2, below // 2, across, down)]


def crop_box(image: Image.Image, box: Box, width: int, height: int) -> Image.Image:
    """Return a part of a picture that may be decoded smaller than `width` x `height`, where the box is."""
    across, down = image.width / width, image.height / height
    left, top, wide, high = box
    return image.crop(
        (
            *(round(left * across), round(top * down)),
            *(max(1, round((left + wide) * across)), max(1, round((top + high) * down))),
        )
    )


def iter_crops(
    image: Image.Image, boxes: list[Box], width: int, height: int
) -> Iterator[tuple[Box, Image.Image]]:
    """Yield each box with the part of the picture that is in it."""
    for box in boxes:
        yield box, crop_box(image, box, width, height)
