"""A picture: segments of its pixels, whole and in parts, and one of each description it carries."""

from typing import BinaryIO

from PIL import Image

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.images.crops import iter_crops, panorama_boxes
from indexer.decode.images.frames import Frame, extract_frames
from indexer.decode.images.thumbnail import THUMBNAIL_SIDE as THUMBNAIL
from indexer.decode.metadata.descriptions import read_descriptions
from indexer.decode.metadata.perceptual_hash import MEASURED_SIDE
from indexer.decode.metadata.properties import ImageHeader, image_properties
from retrieval.media.images.loader import open_image
from retrieval.media.images.truncated import DAMAGE_KEY


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Decode the pixels at the scale the embedder needs, and read what the file says of itself.

    The whole picture, or its first frame or page, is the first segment; then come other frames or pages,
    or crops of a panorama, then texts. Which pictures there are is the same for every embedder.
    """
    with open_image(file) as original:
        header, said = ImageHeader.from_image(original), read_descriptions(original)
        stills, duration = extract_frames(
            original, max(context.embedder.min_image_side, MEASURED_SIDE), min_long_side=THUMBNAIL
        )
        note = original.info.get(DAMAGE_KEY)
    first = stills[0].image
    drafts = [_frame_draft(each, context) for each in stills]
    if len(stills) == 1:
        drafts += _crop_drafts(first, header, context)
    for description in said:
        drafts += context.chunker.drafts(description)
    return DecodedFile(drafts, image_properties(header, first, duration), note)


def _frame_draft(frame: Frame, context: DecodeContext) -> SegmentDraft:
    return SegmentDraft(
        "image",
        pixels=context.embedder.prepare(frame.image),
        start=frame.start,
        page=frame.page,
        thumbnail=context.thumbnail(frame.image),
    )


def _crop_drafts(image: Image.Image, header: ImageHeader, context: DecodeContext) -> list[SegmentDraft]:
    """Return the parts of a panorama, which is too long for a square."""
    size = header.width, header.height
    return [
        SegmentDraft(
            "image", pixels=context.embedder.prepare(part), box=box, thumbnail=context.thumbnail(part)
        )
        for box, part in iter_crops(image, panorama_boxes(*size), *size)
    ]
