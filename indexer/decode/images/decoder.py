"""Decode an image to segments: the image, its further frames, pages or crops, and its descriptions."""

from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from PIL import Image

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.images.crops import iter_crops, panorama_boxes
from indexer.decode.images.frames import Frame, FrameSet, extract_frames
from indexer.decode.images.thumbnail import THUMBNAIL_SIDE
from indexer.decode.metadata.descriptions import read_descriptions
from indexer.decode.metadata.perceptual_hash import MEASURED_SIDE
from indexer.decode.metadata.properties import ImageHeader, image_properties
from indexer.decode.text.chunking import PassageLimit
from retrieval.media.images.loader import open_image
from retrieval.media.images.truncated import DAMAGE_KEY
from retrieval.media.limits import DecodeLimits
from retrieval.media.sandboxed_calls import call_sandboxed


class ImageContents(NamedTuple):
    """What is read of an image file."""

    header: ImageHeader
    descriptions: Sequence[str]
    frame_set: FrameSet
    note: str | None  # on the part that is missing


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Decode the pixels at the scale that the embedder needs, and read the metadata.

    The first segment is the complete image, or its first frame or page. Further frames or pages follow, or
    crops of a panorama, then descriptions. The same segments result for every embedder.
    """
    min_side = max(context.embedder.min_image_side, MEASURED_SIDE)
    limits = context.limits
    contents = call_sandboxed(read_contents, file, min_side, limits, limits=limits, stop=context.stop)
    header, (frames, duration) = contents.header, contents.frame_set
    first = frames[0].image
    drafts = [_frame_draft(frame, context) for frame in frames]
    if len(frames) == 1:
        drafts += _crop_drafts(first, header, context)
    limit = PassageLimit(context.limits)
    drafts += limit.take(draft for text in contents.descriptions for draft in context.chunker.drafts(text))
    notes = "; ".join(filter(None, (contents.note, limit.note))) or None
    return DecodedFile(drafts, image_properties(header, first, duration), notes)


def read_contents(file: BinaryIO, min_side: int, limits: DecodeLimits) -> ImageContents:
    """Decode an image at the scale of `min_side`, and read its metadata; raises MediaError."""
    with open_image(file, limits) as original:
        header, descriptions = ImageHeader.from_image(original), read_descriptions(original)
        frame_set = extract_frames(original, min_side, THUMBNAIL_SIDE, limits)
        return ImageContents(header, descriptions, frame_set, original.info.get(DAMAGE_KEY))


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
