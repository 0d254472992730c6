"""Compute crops of an image: squares along a panorama, and tiles that show small objects."""

from collections.abc import Iterator

from PIL import Image

Box = tuple[int, int, int, int]  # left, top, width, height

MIN_PANORAMA_RATIO = 2.5  # of the longer to the shorter side
MAX_PANORAMA_CROPS = 8  # longer panoramas get longer crops
CROP_OVERLAP = 0.25  # share of a crop that the next one repeats
MIN_PANORAMA_SIDE = 64  # pixels of the shorter side
TILE_SIDE_SHARE = 0.55  # of each side of the image
MIN_TILED_SIDE = 128  # pixels of the shorter side


def panorama_boxes(width: int, height: int) -> list[Box]:
    """Return overlapping squares from end to end of a very wide or very tall image; none for others."""
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
    """Return five overlapping tiles, the four corners and the center; none for a small image."""
    if min(width, height) < MIN_TILED_SIDE:
        return []
    tile_width, tile_height = round(TILE_SIDE_SHARE * width), round(TILE_SIDE_SHARE * height)
    max_left, max_top = width - tile_width, height - tile_height
    corners = [(left, top, tile_width, tile_height) for top in (0, max_top) for left in (0, max_left)]
    return [*corners, (max_left // 2, max_top // 2, tile_width, tile_height)]


def crop_box(image: Image.Image, box: Box, width: int, height: int) -> Image.Image:
    """Return the crop at a box in pixels of the full size, `width` x `height`; the image may be smaller.

    The crop has at least one pixel.
    """
    scale_x, scale_y = image.width / width, image.height / height
    left = min(round(box[0] * scale_x), image.width - 1)
    top = min(round(box[1] * scale_y), image.height - 1)
    right, bottom = round((box[0] + box[2]) * scale_x), round((box[1] + box[3]) * scale_y)
    return image.crop((left, top, max(left + 1, right), max(top + 1, bottom)))


def iter_crops(
    image: Image.Image, boxes: list[Box], width: int, height: int
) -> Iterator[tuple[Box, Image.Image]]:
    """Yield each box with its crop."""
    for box in boxes:
        yield box, crop_box(image, box, width, height)
