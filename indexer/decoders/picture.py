"""A picture: one segment of its pixels, and one of each description it carries."""

from typing import BinaryIO

from PIL import Image

from indexer.decoders import Decoded, Draft
from indexer.descriptions import describe
from indexer.details import picture_details
from indexer.looks import SIDE
from indexer.passages import split
from indexer.thumbnails import SIDE as THUMBNAIL
from indexer.thumbnails import thumbnail
from retrieval.embedders import Embedder
from retrieval.media import FORMATS, open_picture


def decode(file: BinaryIO, suffix: str, embedder: Embedder) -> Decoded:
    """Decode the pixels at the scale the embedder needs, and read what the file says of itself."""
    picture = open_picture(file, near=max(embedder.side, SIDE), longer=THUMBNAIL)
    drafts = [Draft("image", pixels=embedder.prepare(picture), thumbnail=thumbnail(picture))]
    with Image.open(file, formats=FORMATS) as original:  # the header only
        details = picture_details(original, picture)
        for description in describe(original):
            passages = split(description, embedder.tokens, embedder.context)
            drafts += [Draft("text", text=passage.text) for passage in passages]
    return Decoded(drafts, details)
