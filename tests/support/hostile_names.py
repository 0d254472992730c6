"""Forty names of files that break programs which print, split, escape or normalize them."""

from pathlib import Path

from tests.support.files import draw_image

HOSTILE_NAMES: tuple[bytes, ...] = (
    b"new\nline.png",
    b"return\rover.png",
    b"tab\tstop.png",
    b"\nfirst and last\n.png",
    b"\x1b[31mred\x1b[0m.png",
    b"\x1b]0;title\x07.png",
    b"\x1b[2J\x1b[H\x1bc.png",
    "c1 \x9b31m\x90\x9c.png".encode(),
    b"bell\x07 back\x08\x08 delete\x7f.png",
    b"all \x01\x02\x03\x04\x05\x06\x0b\x0c\x0e\x0f\x10\x11\x12.png",
    b"..png",
    b"...png",
    b"..\\..\\up.png",
    b".. .png",
    b"a" * 251 + b".png",
    "é".encode() * 125 + b"x.png",
    b"-rf.png",
    b"--library=x.png",
    b"'single'.png",
    b'"double".png',
    b"`touch x` $(touch y) ;&|.png",
    b"   .png",
    b"   /\t/ .png",
    "gpj.\u202eexe\u202c.png".encode(),
    "\u200fright \u2067left\u2069.png".encode(),
    "zero\u200bwidth\ufeff\u00ad.png".encode(),
    "line\u2028paragraph\u2029\x85.png".encode(),
    b"latin caf\xe9.png",
    b"\xff\xfe\x80.png",
    b"surrogate \xed\xa0\x80\xed\xbf\xbf.png",
    b"overlong \xc0\xaf \xf8\x88\x80\x80\x80.png",
    "nfd e\u0301.png".encode(),
    "nfd \u00e9.png".encode(),  # the same name in NFC
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\ufe0f \U0001f3f4\U000e0067\U000e007f.png".encode(),
    b"back\\slash \\n \\udcff.png",
    b"%2e%2e%2f%00 %s%n%d {0} \\x41.png",
    b"<img src=x onerror=alert(1)>&amp;.png",
    b'comma,semi;"quote", {"a": 1}.png',
    b"star*?[a-z] #1 ?q=1 ~ @x.png",
    b"film.mp4 @ 01:23.4 [1x1+0+0].png",
)


def draw_hostile_files(folder: Path) -> set[bytes]:
    """Draw an image of its own color for each name; return their paths, relative to the folder."""
    root = bytes(folder)
    for number, name in enumerate(HOSTILE_NAMES):
        image = draw_image(folder / "image.png", (6 * number, 255 - 6 * number, 90))
        path = root + b"/" + name
        Path(path.decode("utf-8", "surrogateescape")).parent.mkdir(parents=True, exist_ok=True)
        image.rename(path.decode("utf-8", "surrogateescape"))
    return set(HOSTILE_NAMES)
