"""Write images with metadata: EXIF directories, XMP packets, IPTC keywords."""

import io
from pathlib import Path

from PIL import Image

NAMESPACES = {
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "aux": "http://ns.adobe.com/exif/1.0/aux/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
}


def exif(main=(), photo=(), gps=()) -> Image.Exif:
    """Return EXIF with fields in its main, photo and GPS directories."""
    fields = Image.Exif()
    fields.update(dict(main))
    fields.get_ifd(0x8769).update(dict(photo))
    fields.get_ifd(0x8825).update(dict(gps))
    return fields


def xmp(*bags: tuple[str, list[str]], **attributes: str) -> str:
    """Return an XMP packet, for example xmp(("dc:subject", ["dog"]), xmp_Rating="4")."""
    namespaces = " ".join(f'xmlns:{name}="{uri}"' for name, uri in NAMESPACES.items())
    values = " ".join(f'{name.replace("_", ":", 1)}="{value}"' for name, value in attributes.items())
    lists = "".join(
        f"<{name}><rdf:Bag>{''.join(f'<rdf:li>{item}</rdf:li>' for item in items)}</rdf:Bag></{name}>"
        for name, items in bags
    )
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f"<rdf:Description {namespaces} {values}>{lists}</rdf:Description></rdf:RDF></x:xmpmeta>"
    )


def gps(latitude: float, longitude: float, **more) -> dict[int, object]:
    """Return a GPS directory with the location in degrees and minutes."""
    directory = {}
    for tag, value, letters in ((1, latitude, "NS"), (3, longitude, "EW")):
        degrees, fraction = divmod(abs(value), 1)
        directory |= {tag: letters[value < 0], tag + 1: (degrees, fraction * 60, 0.0)}
    return directory | {int(tag[1:]): value for tag, value in more.items()}


def jpeg(size=(8, 8), color=(200, 0, 0), iptc: list[str] | None = None, **save) -> bytes:
    """Return a JPEG with IPTC keywords; `save` passes EXIF and XMP to Pillow."""
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, "JPEG", **save)
    data = file.getvalue()
    if iptc is None:
        return data
    record = b"".join(
        b"\x1c\x02\x19" + len(word.encode()).to_bytes(2, "big") + word.encode() for word in iptc
    )
    segment = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + len(record).to_bytes(4, "big") + record
    return data[:2] + b"\xff\xed" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]


def write_file(path: Path, data: bytes | str) -> Path:
    """Write a file and create its parent folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path
