"""A picture: segments of its pixels, whole and in parts, and one of each description it carries."""

from typing import BinaryIO

from PIL import Image

from indexer.decode.base import Decoded, Draft
from indexer.decode.images.crops import crops, panorama_boxes
from indexer.decode.images.frames import Still, stills_of
from indexer.decode.images.thumbnail import SIDE as THUMBNAIL
from indexer.decode.images.thumbnail import thumbnail
from indexer.decode.metadata.descriptions import describe
from indexer.decode.metadata.perceptual_hash import SIDE
from indexer.decode.metadata.properties import Header, picture_details
from indexer.decode.text.chunking import split
from retrieval.embedders.base import Embedder
from retrieval.media.images.loader import open_image
from retrieval.media.images.truncated import DAMAGE_KEY


def decode(file: BinaryIO, suffix: str, embedder: Embedder) -> Decoded:
    """Decode the pixels at the scale the embedder needs, and read what the file says of itself.

    The whole picture, or its first frame or page, is the first segment; then come other frames or pages,
    or crops of a panorama, then texts. Which pictures there are is the same for every embedder.
    """
    with open_image(file) as original:
        header, said = Header.of(original), describe(original)
        stills, duration = stills_of(original, max(embedder.min_image_side, SIDE), longer=THUMBNAIL)
        note = original.info.get(DAMAGE_KEY)
    first = stills[0].picture
    drafts = [_draft(each, embedder) for each in stills]
    if len(stills) == 1:
        drafts += _crops(first, header, embedder)
    for description in said:
        passages = split(description, embedder.count_tokens, embedder.max_tokens)
        drafts += [Draft("text", text=passage.text) for passage in passages]
    return Decoded(drafts, picture_details(header, first, duration), note)


def _draft(still: Still, embedder: Embedder) -> Draft:
    return Draft(
        "image",
        pixels=embedder.prepare(still.picture),
        start=still.start,
        page=still.page,
        thumbnail=thumbnail(still.picture),
    )


def _crops(picture: Image.Image, header: Header, embedder: Embedder) -> list[Draft]:
    """Return the parts of a panorama, which is too long for a square."""
    size = header.width, header.height
    return [
        Draft("image", pixels=embedder.prepare(part), box=box, thumbnail=thumbnail(part))
        for box, part in crops(picture, panorama_boxes(*size), *size)
    ]
