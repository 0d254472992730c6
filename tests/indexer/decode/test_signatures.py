"""Recognition of files by their first bytes."""

import pytest
from PIL import Image

from indexer.decode.signatures import fallback_decoders, mismatch_reason, sniff
from retrieval.media.images.signatures import IMAGE_BRANDS
from tests.support.image_files import encode_image, orf, raf, rw2

JPEG = encode_image(Image.new("RGB", (640, 480), "red"), "JPEG")


@pytest.mark.parametrize("brand", IMAGE_BRANDS)
def test_every_image_brand_is_read_as_image(brand):
    head = b"\0\0\0\x18ftyp" + brand + bytes(12)
    assert sniff(head) == ("an image", "picture")
    assert fallback_decoders("video", head) == ["picture"]


@pytest.mark.parametrize(
    ("head", "decoder"),
    [
        (b"II*\0", "picture"),
        (b"MM\0+", "picture"),
        (b"RIFF\0\0\0\0WEBP", "picture"),
        (b"RIFF\0\0\0\0WAVE", "sound"),
        (b"\0\0\0\x18ftypM4A ", "sound"),
        (b"\0\0\0\x18ftypisom", "video"),
        (b"%PDF-1.7", "document"),
        (raf(JPEG), "picture"),
        (rw2(JPEG), "picture"),
        (orf(JPEG), "picture"),
        (b"IIRS" + orf(JPEG)[4:], "picture"),
        (b"MMOR\0\0\0\x08", "picture"),
        (b"\xff\x0a\xf8\x1f", "picture"),  # a codestream of JPEG XL, ISO 18181-1
        (b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ", "picture"),  # in a container, ISO 18181-2
    ],
)
def test_signature_selects_decoder(head, decoder):
    file_type = sniff(head)
    assert file_type is not None and file_type.decoder == decoder


def test_container_of_audio_and_video_has_both_decoders_as_fallback():
    assert fallback_decoders("picture", b"fLaC") == ["sound", "video"]
    assert fallback_decoders("sound", b"fLaC") == ["video"]


def test_mismatch_reason_describes_recognized_type():
    assert mismatch_reason("not an image", "picture", b"fLaC") == "not an image: it seems to be an audio file"
    assert mismatch_reason("not an image", "picture", b"\1\2\3\4") == "not an image"
    assert mismatch_reason("timeout", "picture", b"fLaC") == "timeout"
