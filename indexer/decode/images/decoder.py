"""Decode an image to segments: the image, its further frames, pages or crops, and its descriptions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO, NamedTuple

from PIL import Image

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext, Prepare
from indexer.decode.images.crops import iter_crops, panorama_boxes
from indexer.decode.images.frames import Frame, extract_frames
from indexer.decode.images.thumbnail import THUMBNAIL_SIDE, make_thumbnail
from indexer.decode.metadata.descriptions import read_descriptions
from indexer.decode.metadata.perceptual_hash import MEASURED_SIDE
from indexer.decode.metadata.properties import ImageHeader, image_properties
from indexer.decode.text.chunking import PassageLimit
from retrieval.media.images.loader import open_image
from retrieval.media.images.truncated import DAMAGE_KEY
from retrieval.media.limits import DecodeLimits
from retrieval.media.sandboxed_calls import call_sandboxed
from retrieval.types import MediaProperties


class ImageContents(NamedTuple):
    """The contents of an image file: segments with the results of its pixels, and metadata."""

    drafts: list[SegmentDraft]
    properties: MediaProperties
    descriptions: Sequence[str]
    note: str | None  # on the part that is missing


class ImageOutput(NamedTuple):
    """The results that the pixels of an image are decoded for."""

    min_side: int  # pixels of each side at which it is decoded
    prepare: Prepare
    thumbnails: bool


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Decode the pixels at the scale that the embedder needs, and read the metadata.

    The first segment is the complete image, or its first frame or page. Further frames or pages follow, or
    crops of a panorama, then descriptions. The same segments result for every embedder.
    """
    min_side = max(context.embedder.min_image_side, MEASURED_SIDE)
    output, limits = ImageOutput(min_side, context.remote_prepare, context.thumbnails), context.limits
    contents = call_sandboxed(read_contents, file, output, limits, limits=limits, stop=context.stop)
    drafts = context.prepare_received(contents.drafts)
    limit = PassageLimit(context.limits)
    drafts += limit.take(draft for text in contents.descriptions for draft in context.chunker.drafts(text))
    notes = "; ".join(filter(None, (contents.note, limit.note))) or None
    return DecodedFile(drafts, contents.properties, notes)


def read_contents(file: BinaryIO, output: ImageOutput, limits: DecodeLimits) -> ImageContents:
    """Decode an image, and read its metadata; raises MediaError.

    Its segments are made here, because its pixels take ten times as many bytes to send.
    """
    with open_image(file, limits) as original:
        header, descriptions = ImageHeader.from_image(original), read_descriptions(original)
        frames, duration = extract_frames(original, output.min_side, THUMBNAIL_SIDE, limits)
        note = original.info.get(DAMAGE_KEY)
        for frame in frames:
            frame.image.info.clear()  # sRGB needs no color profile in a thumbnail
        drafts = [_frame_draft(frame, output) for frame in frames]
        if len(frames) == 1:
            drafts += _crop_drafts(frames[0].image, header, output)
        return ImageContents(drafts, image_properties(header, frames[0].image, duration), descriptions, note)


def _frame_draft(frame: Frame, output: ImageOutput) -> SegmentDraft:
    return replace(_draft(frame.image, output), start=frame.start, page=frame.page)


def _crop_drafts(image: Image.Image, header: ImageHeader, output: ImageOutput) -> list[SegmentDraft]:
    """Return segments for the crops of a panorama, which loses its detail when scaled to a square."""
    size = header.width, header.height
    return [
        replace(_draft(crop, output), box=box)
        for box, crop in iter_crops(image, panorama_boxes(*size), *size)
    ]


def _draft(image: Image.Image, output: ImageOutput) -> SegmentDraft:
    thumbnail = make_thumbnail(image) if output.thumbnails else None
    return SegmentDraft("image", pixels=output.prepare(image), thumbnail=thumbnail)
