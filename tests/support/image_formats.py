"""One writer for each image format that clew reads."""

import gzip

import pytest
from PIL import Image

from tests.support import image_files
from tests.support.image_files import encode_image

SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 30">
<rect width="40" height="30" fill="#fa0a0a"/></svg>"""


def preview(image: Image.Image, **options) -> bytes:
    return encode_image(image.resize((640, 480)), "JPEG", quality=95, **options)


def jxl(image: Image.Image, **options) -> bytes:
    pytest.importorskip("pillow_jxl")
    return encode_image(image, "JXL", **options)


FORMATS = {
    "photo.jpg": lambda p: encode_image(p, "JPEG", quality=95),
    "photo.png": lambda p: encode_image(p, "PNG"),
    "photo.webp": lambda p: encode_image(p, "WEBP", lossless=True),
    "photo.gif": lambda p: encode_image(p, "GIF"),
    "photo.bmp": lambda p: encode_image(p, "BMP"),
    "photo.tif": lambda p: encode_image(p, "TIFF"),
    "photo.heic": image_files.heic,
    "photo.hif": lambda p: image_files.heic(p, brand=b"mif1"),
    "photo.avif": lambda p: encode_image(p, "AVIF", quality=95),
    "photo.jxl": jxl,
    "photo.jp2": lambda p: encode_image(p, "JPEG2000"),
    "photo.j2k": lambda p: encode_image(p, "JPEG2000", no_jp2=True),
    "photo.ico": lambda p: encode_image(p.resize((64, 64)), "ICO", sizes=[(16, 16), (64, 64)]),
    "photo.cur": lambda p: image_files.cursor(p.resize((64, 64))),
    "photo.ppm": lambda p: encode_image(p, "PPM"),
    "photo.tga": lambda p: encode_image(p, "TGA"),
    "photo.psd": image_files.psd,
    "deep.psd": lambda p: image_files.psd(p, depth=16),
    "photo.cr2": lambda p: image_files.cr2(preview(p)),
    "photo.nef": lambda p: image_files.nef(preview(p)),
    "photo.raf": lambda p: image_files.raf(preview(p)),
    "photo.rw2": lambda p: image_files.rw2(preview(p)),
    "photo.orf": lambda p: image_files.orf(preview(p)),
    "photo.cr3": lambda p: image_files.cr3(preview(p)),
    "photo.svg": lambda p: svg(p),
    "photo.svgz": lambda p: gzip.compress(svg(p)),
    "wrong.jpg": image_files.heic,  # the content decides, not the suffix
    "wrong.heic": lambda p: encode_image(p, "PNG"),
    "wrong.png": lambda p: image_files.cr2(preview(p)),
}


def svg(image: Image.Image) -> bytes:
    """Draw the colors of two corners of an image."""
    pytest.importorskip("resvg_py")
    left, right = image.getpixel((1, 1)), image.getpixel((image.width - 2, image.height - 2))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 48"><rect width="64" height="48" '
        f'fill="rgb{right}"/><rect width="32" height="24" fill="rgb{left}"/></svg>'
    ).encode()
