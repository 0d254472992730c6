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


# The character sets of \\fcharset (RTF 1.9.1, "Font Table") as codecs of Python. The default (1) and symbols
# (2) have none.
CHARSET_ENCODINGS = {
    **{0: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "gbk", 136: "cp950"},
    **{161: "cp1253", 162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257"},
    **{204: "cp1251", 222: "cp874", 238: "cp1250", 254: "cp437", 255: "cp850"},
}


class _TextBuilder:
    """The text so far, and the state that a closing brace restores."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.document_encoding = "cp1252"
        self.font_encodings: dict[int, str] = {}  # by the number of the font
        self.default_font = 0
        self.is_ignored, self.fallback_length, self.font = False, 1, 0
        self.skip_count = 0  # bytes left of the fallback after a Unicode character
        self._raw_bytes = bytearray()
        self._group_stack: list[tuple[bool, int, int]] = []

    def add_text(self, text: str) -> None:
        """Add text after the pending bytes, of which two may be one character."""
        if self._raw_bytes:
            encoding = self.font_encodings.get(self.font, self.document_encoding)
            self.parts.append(self._raw_bytes.decode(encoding, "replace"))
            self._raw_bytes.clear()
        if not self.is_ignored:
            self.parts.append(text)

    def add_bytes(self, data: bytes) -> None:
        """Add bytes in the encoding of the font, except the fallback of a Unicode character."""
        if not self.is_ignored:
            self._raw_bytes += data[self.skip_count :]
        self.skip_count = max(0, self.skip_count - len(data))

    def handle_brace(self, brace: str) -> None:
        """Start or end a group."""
        self.add_text("")
        if brace == "{":
            self._group_stack.append((self.is_ignored, self.fallback_length, self.font))
        else:
            self.is_ignored, self.fallback_length, self.font = (
                self._group_stack.pop() if self._group_stack else (False, 1, self.default_font)
            )
            self.skip_count = 0

    def handle_control_word(self, word: str, number: str | None) -> None:
        """Handle a control word."""
        self.add_text(CONTROL_WORD_TEXT.get(word, ""))
        if word in IGNORED_DESTINATIONS or word == "*":
            self.is_ignored = True
        elif word == "ansicpg":
            self.document_encoding = _code_page_encoding(number or "")
        elif word == "deff":
            self.default_font = self.font = int(number or 0)
        elif word == "f" and number:
            self.font = int(number)
        elif word == "plain":
            self.font = self.default_font
        elif word == "fcharset" and int(number or 0) in CHARSET_ENCODINGS:
            self.font_encodings[self.font] = CHARSET_ENCODINGS[int(number or 0)]
        elif word == "cpg" and number != "0":
            self.font_encodings[self.font] = _code_page_encoding(number or "")
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
            text.add_bytes(bytes.fromhex(token["code"]))
        elif token["brace"]:
            text.handle_brace(token["brace"])
        elif token["letters"]:
            text.add_bytes(token["letters"].encode("latin-1"))
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
