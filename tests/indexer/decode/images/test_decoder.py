"""Segments of images are made in the subprocess that decodes them, as they would be made here."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from indexer.decode.context import DecodeContext
from indexer.decode.images.crops import crop_box
from indexer.decode.images.decoder import decode
from indexer.decode.images.frames import extract_frames
from indexer.decode.images.thumbnail import THUMBNAIL_SIDE, make_thumbnail
from indexer.decode.metadata.properties import ImageHeader, image_properties
from retrieval.embedders.builtin import BuiltinEmbedder
from retrieval.embedders.preprocessing import Preprocessing
from retrieval.media.images.loader import open_image
from retrieval.media.sandbox import SandboxedProcess
from tests.support.image_files import BLUE, GREEN, RED, encode_image, solid_image
from tests.support.interpreter import imported_modules


def noise(width: int, height: int) -> Image.Image:
    """Return an image in which every change of a pixel counts."""
    small = np.random.default_rng(5).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return Image.fromarray(small).resize((width, height))


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FILES = {
    "photo": encode_image(noise(1600, 1200), "JPEG", exif=turned(), icc_profile=SRGB_PROFILE),
    "small": encode_image(noise(104, 80), "PNG"),
    "panorama": encode_image(noise(2400, 400), "JPEG"),
    "animation": encode_image(
        solid_image(RED), "GIF", save_all=True, append_images=map(solid_image, (GREEN, BLUE))
    ),
    "pages": encode_image(noise(800, 600), "TIFF", save_all=True, append_images=[noise(640, 480)]),
    "truncated": encode_image(noise(800, 600), "JPEG")[:-9_000],
}


class MethodEmbedder(BuiltinEmbedder):
    """An embedder that prepares images by a method, which only its own process has."""

    def prepare(self, image):
        return BuiltinEmbedder.prepare(image)


class RecordEmbedder(BuiltinEmbedder):
    """An embedder that prepares images by a record, as those of open_clip do."""

    prepare = Preprocessing((224, 224), "shortest", "bicubic", (0.5,) * 3, (0.5,) * 3).apply


EMBEDDERS = {"function": BuiltinEmbedder(), "method": MethodEmbedder(), "record": RecordEmbedder()}


@pytest.mark.parametrize("embedder", EMBEDDERS.values(), ids=EMBEDDERS)
@pytest.mark.parametrize("name", FILES)
def test_segments_equal_those_made_of_the_decoded_pixels(name, embedder):
    context = DecodeContext(embedder)
    decoded = decode(io.BytesIO(FILES[name]), "", context)
    with open_image(io.BytesIO(FILES[name])) as original:
        header = ImageHeader.from_image(original)
        frames, duration = extract_frames(original, embedder.min_image_side, THUMBNAIL_SIDE)
    images = [Image.frombytes("RGB", frame.image.size, frame.image.tobytes()) for frame in frames]
    assert decoded.properties == image_properties(header, images[0], duration)
    boxes = [draft.box for draft in decoded.drafts if draft.box is not None]
    assert len(boxes) == (8 if name == "panorama" else 0)
    images += [crop_box(images[0], box, header.width, header.height) for box in boxes]
    assert len(images) == len(decoded.drafts)
    for draft, image in zip(decoded.drafts, images, strict=True):
        np.testing.assert_array_equal(draft.pixels, embedder.prepare(image))
        assert draft.thumbnail == make_thumbnail(image)
    assert [(draft.start, draft.page) for draft in decoded.drafts[: len(frames)]] == [
        (frame.start, frame.page) for frame in frames
    ]


def test_subprocess_sends_the_input_of_the_model_instead_of_the_pixels(monkeypatch):
    sizes, receive = [], SandboxedProcess.receive

    def counted(process):
        answer, data = receive(process)
        sizes.append(len(data))
        return answer, data

    monkeypatch.setattr(SandboxedProcess, "receive", counted)
    for embedder in (BuiltinEmbedder(), RecordEmbedder()):
        decode(io.BytesIO(FILES["photo"]), "", DecodeContext(embedder))
        assert sizes.pop() < 256 * 256 * 3 + 100_000
    decode(io.BytesIO(FILES["photo"]), "", DecodeContext(MethodEmbedder(), thumbnails=False))
    assert sizes[-1] > 800 * 600 * 3


def test_first_jpeg_of_a_subprocess_imports_no_other_formats(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(FILES["photo"])
    imported_modules(
        f"""if True:
        import sys
        from indexer.decode.context import all_pixels
        from indexer.decode.images.decoder import ImageOutput, read_contents
        from retrieval.media.limits import DEFAULT_LIMITS
        with open({str(tmp_path / "photo.jpg")!r}, "rb") as file:
            assert read_contents(file, ImageOutput(512, all_pixels, True), DEFAULT_LIMITS).drafts[0].thumbnail
        assert not {{"PIL.PdfImagePlugin", "PIL.AvifImagePlugin", "numpy.ma"}} & set(sys.modules)
        """
    )
