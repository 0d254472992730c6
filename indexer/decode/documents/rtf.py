"""The text of an RTF file, read in one pass.

striprtf 0.0.35 loses letters that a file writes as bytes of its code page, returns halves of characters
above U+FFFF, and raises ValueError for a damaged control word.
"""

import codecs
import re

TOKEN = re.compile(
    r"\\(?P<word>[a-zA-Z]{1,32})(?P<number>-?\d{1,9})? ?|\\'(?P<code>[0-9a-fA-F]{2})|\\(?P<mark>[^a-zA-Z])"
    r"|(?P<brace>[{}])|[\r\n]+|(?P<letters>[^\\{}\r\n]+)|\\"
)
CONTROL_WORD_TEXT = {
    **dict.fromkeys(("par", "sect", "page", "row", "line"), "\n"),
    **dict.fromkeys(("tab", "cell", "emspace", "enspace"), " "),
    **{"lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "bullet": "•"},
    **{"endash": "–", "emdash": "—", "~": "\u00a0", "_": "-", "{": "{", "}": "}", "\\": "\\"},
}
_IGNORED_DESTINATION_NAMES = """
    colorschememapping colortbl datastore falt filetbl fldinst fonttbl footer footerf footerl footerr
    generator header headerf headerl headerr info latentstyles listoverridetable listtable nonshppict object
    pict revtbl rsidtbl stylesheet themedata xmlnstbl"""
IGNORED_DESTINATIONS = frozenset(
    _IGNORED_DESTINATION_NAMES.split()
)  # groups that hold no text of the document


class _TextBuilder:
    """The text so far, and the state that a closing brace restores."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.encoding = "cp1252"
        self.is_ignored, self.fallback_length = False, 1
        self.skip_count = 0  # characters left of the fallback after a Unicode character
        self._raw_bytes = bytearray()
        self._group_stack: list[tuple[bool, int]] = []

    def add_text(self, text: str) -> None:
        """Add text after the pending bytes, of which two may be one character."""
        if self._raw_bytes:
            self.parts.append(self._raw_bytes.decode(self.encoding, "replace"))
            self._raw_bytes.clear()
        if not self.is_ignored:
            self.parts.append(text)

    def add_byte(self, byte: int) -> None:
        """Add a byte, unless it is the fallback of a Unicode character."""
        if self.skip_count:
            self.skip_count -= 1
        elif not self.is_ignored:
            self._raw_bytes.append(byte)

    def add_characters(self, characters: str) -> None:
        """Add characters, except the fallback of a Unicode character."""
        self.add_text(characters[self.skip_count :].encode("latin-1").decode(self.encoding, "replace"))
        self.skip_count = max(0, self.skip_count - len(characters))

    def handle_brace(self, brace: str) -> None:
        """Start or end a group."""
        self.add_text("")
        if brace == "{":
            self._group_stack.append((self.is_ignored, self.fallback_length))
        else:
            self.is_ignored, self.fallback_length = (
                self._group_stack.pop() if self._group_stack else (False, 1)
            )
            self.skip_count = 0

    def handle_control_word(self, word: str, number: str | None) -> None:
        """Handle a control word."""
        self.add_text(CONTROL_WORD_TEXT.get(word, ""))
        if word in IGNORED_DESTINATIONS or word == "*":
            self.is_ignored = True
        elif word == "ansicpg":
            self.encoding = _code_page_encoding(number or "")
        elif word == "uc":
            self.fallback_length = max(0, min(int(number or 1), 8))
        elif word == "u" and number:
            self.add_text(chr(int(number) % 0x10000))
            self.skip_count = self.fallback_length


def rtf_to_text(data: bytes) -> str:
    """Return the text of an RTF file, one paragraph a line."""
    text = _TextBuilder()
    for token in TOKEN.finditer(data.decode("latin-1")):
        if token["code"]:
            text.add_byte(int(token["code"], 16))
        elif token["brace"]:
            text.handle_brace(token["brace"])
        elif token["letters"]:
            text.add_characters(token["letters"])
        elif word := token["word"] or token["mark"]:
            text.handle_control_word(word, token["number"])
    text.add_text("")
    utf16 = "".join(text.parts).encode("utf-16", "surrogatepass")  # above U+FFFF a character is two \u words
    return utf16.decode("utf-16", "replace").replace("\0", "")


def _code_page_encoding(code_page: str) -> str:
    try:
        return codecs.lookup(f"cp{code_page}").name
    except LookupError:
        return "cp1252"
