"""Descriptions in image metadata: those of people are read, placeholders of cameras are not."""

import io

import pytest
from PIL import Image

from indexer.decode.metadata.descriptions import read_descriptions, xmp_descriptions

XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">A title</rdf:li></rdf:Alt></dc:title>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">Our dog on the beach</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def reopened(form="JPEG", **save):
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, form, **save)
    return Image.open(io.BytesIO(file.getvalue()))


def exif(**tags):
    fields = Image.Exif()
    for tag, value in tags.items():
        fields[int(tag.removeprefix("t"), 16)] = value
    return fields


def test_exif_descriptions_are_read():
    assert read_descriptions(reopened(exif=exif(t010E="Our dog on the beach"))) == ["Our dog on the beach"]
    assert read_descriptions(reopened(exif=exif(t9C9B="Fête".encode("utf-16-le")))) == ["Fête"]
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", exif=exif(t010E="F--te"))
    utf8 = file.getvalue().replace(b"F--te", "Fête".encode())
    assert read_descriptions(Image.open(io.BytesIO(utf8))) == ["Fête"]


def test_user_comments_are_read_in_their_encoding():
    fields = exif()
    fields.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "a dog".encode("utf-16-le")
    assert read_descriptions(reopened(exif=fields)) == ["a dog"]
    fields.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0" + b"a cat\0\0"
    assert read_descriptions(reopened(exif=fields)) == ["a cat"]


@pytest.mark.parametrize(
    "placeholder", ["OLYMPUS DIGITAL CAMERA", "SAMSUNG DIGITAL CAMERA", "   ", "DCIM\\100MEDIA"]
)
def test_placeholders_of_cameras_are_ignored(placeholder):
    assert read_descriptions(reopened(exif=exif(t010E=placeholder))) == []


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_xmp_titles_and_descriptions_are_read(form):
    options = {"tiffinfo": {700: XMP.encode()}} if form == "TIFF" else {"xmp": XMP.encode()}
    if form == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP)
        options = {"pnginfo": info}
    assert read_descriptions(reopened(form, **options)) == ["A title", "Our dog on the beach"]


def test_iptc_captions_are_read():
    text = b"Our dog on the beach"
    record = b"\x1c\x02\x78" + len(text).to_bytes(2, "big") + text
    block = b"8BIM\x04\x04\0\0" + len(record).to_bytes(4, "big") + record
    segment = b"Photoshop 3.0\0" + block
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    data = file.getvalue()
    app13 = b"\xff\xed" + (len(segment) + 2).to_bytes(2, "big") + segment
    assert read_descriptions(Image.open(io.BytesIO(data[:2] + app13 + data[2:]))) == ["Our dog on the beach"]


def test_equal_descriptions_are_returned_once():
    image = reopened(exif=exif(t010E="our DOG on the beach"), xmp=XMP.encode())
    assert read_descriptions(image) == ["our DOG on the beach", "A title"]


def test_broken_metadata_is_ignored():
    assert read_descriptions(reopened(xmp=b"<x:xmpmeta")) == []
    bomb = b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>'
    assert read_descriptions(reopened(xmp=bomb)) == []
    with pytest.raises(ValueError, match="XMP"):
        xmp_descriptions(bomb)
