"""The text of an RTF file, read once from front to back."""

import codecs
import re

TOKEN = re.compile(
    r"\\(?P<word>[a-zA-Z]{1,32})(?P<number>-?\d{1,9})? ?|\\'(?P<code>[0-9a-fA-F]{2})|\\(?P<mark>[^a-zA-Z])"
    r"|(?P<brace>[{}])|[\r\n]+|(?P<letters>[^\\{}\r\n]+)|\\"
)
MARKS = {
    **dict.fromkeys(("par", "sect", "page", "row", "line"), "\n"),
    **dict.fromkeys(("tab", "cell", "emspace", "enspace"), " "),
    **{"lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "bullet": "•"},
    **{"endash": "–", "emdash": "—", "~": "\u00a0", "_": "-", "{": "{", "}": "}", "\\": "\\"},
}
_UNSEEN = """
    colorschememapping colortbl datastore falt filetbl fldinst fonttbl footer footerf footerl footerr
    generator header headerf headerl headerr info latentstyles listoverridetable listtable nonshppict object
    pict revtbl rsidtbl stylesheet themedata xmlnstbl"""
UNSEEN = frozenset(_UNSEEN.split())  # what is in these groups is no text of the document


class _Text:
    """The text so far, and what a group that ends gives back: is it unseen, and how wide a letter is."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.encoding = "cp1252"
        self.unseen, self.wide = False, 1
        self.skip = 0  # letters that stand for the one before, where Unicode is not read
        self._raw = bytearray()
        self._groups: list[tuple[bool, int]] = []

    def add(self, text: str) -> None:
        """Add text, after the bytes that were written one by one: a letter may be two of them."""
        if self._raw:
            self.parts.append(self._raw.decode(self.encoding, "replace"))
            self._raw.clear()
        if not self.unseen:
            self.parts.append(text)

    def add_byte(self, byte: int) -> None:
        """Add a byte, unless it stands for the letter before."""
        if self.skip:
            self.skip -= 1
        elif not self.unseen:
            self._raw.append(byte)

    def add_letters(self, letters: str) -> None:
        """Add letters as they are written, but those that stand for the one before."""
        self.add(letters[self.skip :].encode("latin-1").decode(self.encoding, "replace"))
        self.skip = max(0, self.skip - len(letters))

    def turn(self, brace: str) -> None:
        """Begin or end a group."""
        self.add("")
        if brace == "{":
            self._groups.append((self.unseen, self.wide))
        else:
            self.unseen, self.wide = self._groups.pop() if self._groups else (False, 1)
            self.skip = 0

    def obey(self, word: str, number: str | None) -> None:
        """Do what a control word says."""
        self.add(MARKS.get(word, ""))
        if word in UNSEEN or word == "*":
            self.unseen = True
        elif word == "ansicpg":
            self.encoding = _encoding(number or "")
        elif word == "uc":
            self.wide = max(0, min(int(number or 1), 8))
        elif word == "u" and number:
            self.add(chr(int(number) % 0x10000))
            self.skip = self.wide


def plain(data: bytes) -> str:
    """Return the text, a paragraph a line."""
    text = _Text()
    for token in TOKEN.finditer(data.decode("latin-1")):
        if token["code"]:
            text.add_byte(int(token["code"], 16))
        elif token["brace"]:
            text.turn(token["brace"])
        elif token["letters"]:
            text.add_letters(token["letters"])
        elif word := token["word"] or token["mark"]:
            text.obey(word, token["number"])
    text.add("")
    halves = "".join(text.parts).encode("utf-16", "surrogatepass")  # beyond 65535 a letter is two of \u
    return halves.decode("utf-16", "replace").replace("\0", "")


def _encoding(page: str) -> str:
    try:
        return codecs.lookup(f"cp{page}").name
    except LookupError:
        return "cp1252"
