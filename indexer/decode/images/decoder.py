"""Decode an image to segments: the image, its further frames, pages or crops, and its descriptions."""

from typing import BinaryIO

from PIL import Image

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.images.crops import iter_crops, panorama_boxes
from indexer.decode.images.frames import Frame, extract_frames
from indexer.decode.images.thumbnail import THUMBNAIL_SIDE
from indexer.decode.metadata.descriptions import read_descriptions
from indexer.decode.metadata.perceptual_hash import MEASURED_SIDE
from indexer.decode.metadata.properties import ImageHeader, image_properties
from indexer.decode.text.chunking import PassageLimit
from retrieval.media.images.loader import open_image
from retrieval.media.images.truncated import DAMAGE_KEY


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Decode the pixels at the scale that the embedder needs, and read the metadata.

    The first segment is the complete image, or its first frame or page. Further frames or pages follow, or
    crops of a panorama, then descriptions. The same segments result for every embedder.
    """
    min_side = max(context.embedder.min_image_side, MEASURED_SIDE)
    with open_image(file, context.limits) as original:
        header, descriptions = ImageHeader.from_image(original), read_descriptions(original)
        frames, duration = extract_frames(original, min_side, THUMBNAIL_SIDE, context.limits)
        note = original.info.get(DAMAGE_KEY)
    first = frames[0].image
    drafts = [_frame_draft(frame, context) for frame in frames]
    if len(frames) == 1:
        drafts += _crop_drafts(first, header, context)
    limit = PassageLimit(context.limits)
    drafts += limit.take(draft for text in descriptions for draft in context.chunker.drafts(text))
    notes = "; ".join(filter(None, (note, limit.note))) or None
    return DecodedFile(drafts, image_properties(header, first, duration), notes)


def _frame_draft(frame: Frame, context: DecodeContext) -> SegmentDraft:
    return SegmentDraft(
        "image",
        pixels=context.embedder.prepare(frame.image),
        start=frame.start,
        page=frame.page,
        thumbnail=context.thumbnail(frame.image),
    )


def _crop_drafts(image: Image.Image, header: ImageHeader, context: DecodeContext) -> list[SegmentDraft]:
    """Return segments for the crops of a panorama, which loses its detail when scaled to a square."""
    size = header.width, header.height
    return [
        SegmentDraft(
            "image", pixels=context.embedder.prepare(crop), box=box, thumbnail=context.thumbnail(crop)
        )
        for box, crop in iter_crops(image, panorama_boxes(*size), *size)
    ]
