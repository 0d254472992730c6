"""Distinguish the encodings before Unicode by the letters of their scripts and languages.

A Latin text has the encoding in which nearly all of its letters beyond ASCII belong to one language. A text
in another script has the encoding in which its characters are the most probable ones.
"""

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from math import log
from typing import NamedTuple

LETTERS_BY_LANGUAGE = {  # encodings -> letters beyond ASCII of each language, in lower case
    ("cp1252",): (
        *("éèàùâêîôûçëïüœæÿ", "äöüß", "ñáéíóúüçàèòï", "ãõáâàéêíóôúçü", "àèéìíîòóùú", "åäöéæøü"),
        *("þðæöáéíóúý", "éëïöüóèáê", "äöõüšž"),
    ),
    ("cp1250", "iso8859_2"): (*("ąćęłńóśźż", "áčďéěíňóřšťúůýžľĺŕäô", "áéíóöőúüű", "ăâîşţ", "čćđšž"),),
    ("cp1254",): ("çğıiöşüâîû",),
    ("cp1257",): ("ąčęėįšųūž", "āčēģīķļņšūž"),
}
DEFAULT_ENCODING = "cp1252"
PUNCTUATION = str.maketrans("", "", "\xa0\xad«»‹›„“”‚‘’–—…•·°§©®™€£¿¡ªº\u0307")  # of all languages
MIN_LETTER_SHARE = 0.025  # letters beyond ASCII in a text of another language than those of Windows-1252
MIN_COVERAGE, MIN_ADVANTAGE = 0.97, 0.05  # share of them that one language has, and that Windows-1252 lacks
MIN_LETTERS, MIN_DISTINCT_LETTERS = 6, 3
MIN_COMMON_SHARE = 0.15  # of the characters beyond ASCII of a text in another script, in its encoding
MIN_FOREIGN_SHARE, MAX_LATIN_SHARE = 0.6, 0.5  # of the letters beyond ASCII, in words without ASCII letters
_WORDS = re.compile(r"[^\W\d_]+")

# Languages as names of files give them -> encodings, the more common first, and the letters that they have:
# of Latin scripts all beyond ASCII, of other scripts the most common ones.
_CYRILLIC = ("cp1251", "koi8_r", "koi8_u", "cp866", "iso8859_5", "mac_cyrillic"), "оеаинтсрвлкмдпуяіїъј"
_CHINESE_LETTERS = "的一是不了人我在有他这这个们来上大为和国地到你说好天去要這個們來為國說會過吗嗎"
_CENTRAL, _WESTERN = LETTERS_BY_LANGUAGE["cp1250", "iso8859_2"], LETTERS_BY_LANGUAGE["cp1252",]
_HINTS: dict[str, tuple[tuple[str, ...], str]] = {
    "ru rus russian uk ukr ukrainian be bel bg bul bulgarian sr srp serbian mk mkd mn kk": _CYRILLIC,
    "zh zho chi chinese chs sc zh-cn zh-sg zh-hans": (("gb18030", "big5"), _CHINESE_LETTERS),
    "cht tc zh-tw zh-hk zh-mo zh-hant": (("big5", "gb18030"), _CHINESE_LETTERS),
    "ja jpn jp japanese": (("cp932", "euc_jp"), "のにたいとかしてをなはるでがすんっうれあこもらりくま"),
    "ko kor kr korean": (("cp949",), "이다는을가에의지고하어나도한요서그니사자만아기"),
    "el ell gre gr greek": (("cp1253", "iso8859_7"), "αοιετσνηυρπκμλςάίόέή"),
    "he heb iw hebrew": (("cp1255",), "יוהלאתרשבמנדקעח"),
    "ar ara arabic fa fas per persian ur": (("cp1256", "iso8859_6"), "اليمنتورهبدعسكف"),
    "th tha thai": (("cp874",), "านรอกเงมยลวดทสตะปบคหจพชขใไแโ"),
    "vi vie vietnamese": (("cp1258",), "đăâêôơưàáãèéìíòóùúýõ\u0300\u0301\u0303\u0309\u0323"),
    "tr tur turkish az": (("cp1254",), LETTERS_BY_LANGUAGE["cp1254",][0]),
    "lt lit lv lav et": (("cp1257",), "".join(LETTERS_BY_LANGUAGE["cp1257",])),
    **dict.fromkeys(
        (
            *("pl pol polish", "cs cze ces czech sk slk slovak", "hu hun hungarian"),
            *("ro ron rum romanian", "hr hrv croatian sl slv bs bos sq"),
        ),
        (("cp1250", "iso8859_2"), "".join(_CENTRAL)),
    ),
    "en eng de ger deu german fr fre fra french es spa spanish pt por portuguese it ita italian sv swe da "
    "dan no nor nb fi fin is isl nl dut nld dutch": (("cp1252",), "".join(_WESTERN)),
}
_HINT_OF_LANGUAGE = {language: hint for languages, hint in _HINTS.items() for language in languages.split()}

SCRIPT_SAMPLE_BYTES = 1 << 11  # more make no difference in 260 texts, and take as much longer
_ARABIC, _GREEK, _HEBREW = (
    "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىيپچژگ",
    "αβγδεζηθικλμνξοπρσςτυφχψω",
    "אבגדהוזחטיכךלמםנןסעפףצץקרשת",
)
_RUSSIAN = "абвгдежзийклмнопрстуфхцчшщъыьэюяёђѓєѕіїјљњћќўџґ"
_RARE_SHARE = 0.03  # of the characters of a text: neither frequent nor common in its language
_RARE_COUNT, _RARE_LETTER_COUNT = 20_000, 400  # characters in two bytes, and in one
_ASCII_SHARE, _INVALID_SHARE = 1 / 64, 1e-9  # of each ASCII character, and of bytes that are no character


class ScriptEncoding(NamedTuple):
    """An encoding of a language that is not written in Latin letters, and the characters of its texts."""

    name: str
    frequent: frozenset[str]  # lower case
    frequent_share: float  # of the characters of a text
    common: frozenset[str]
    log_prior: float = 0.0  # of encodings that are rarer than those with 0

    def log_probability(self, sample: bytes) -> float:
        """Return the logarithm of the probability of a sample."""
        text, is_alphabet = sample.decode(self.name, "replace"), len(self.common) < 256
        rare_share = _RARE_SHARE / (_RARE_LETTER_COUNT if is_alphabet else _RARE_COUNT)
        frequent_share = self.frequent_share / len(self.frequent)
        common_share = (1 - _RARE_SHARE - self.frequent_share) / len(self.common)
        shares = Counter[float]()
        for before, char in zip(" " + text, text, strict=False):
            if char == "\ufffd":
                shares[_INVALID_SHARE] += 1
            elif is_alphabet and _is_odd_pair(before, char):
                shares[rare_share] += 1
            elif char < "\x80":
                shares[_ASCII_SHARE] += 1
            elif char.lower() in self.frequent:
                shares[frequent_share] += 1
            else:
                shares[common_share if char in self.common else rare_share] += 1
        return self.log_prior + sum(count * log(share) for share, count in shares.items())


def _is_odd_pair(before: str, char: str) -> bool:
    """Return True for letters that words do not join: of two scripts, or a capital after a small one."""
    if not (before.isalpha() and char.isalpha()):
        return False
    return (before < "\x80") != (char < "\x80") or (char > "\x7f" and char.isupper() and before.islower())


@cache
def _script_encodings() -> tuple[ScriptEncoding, ...]:
    """Return the encodings of Cyrillic, Greek, Hebrew, Arabic, Thai, Korean, Japanese and Chinese."""
    alphabets = (  # language, letters, and the names and priors of their encodings
        ("ru", _RUSSIAN, {"cp1251": 0, "koi8_r": -3, "koi8_u": -4}),
        ("ru", _RUSSIAN, {"cp866": -5, "iso8859_5": -5, "mac_cyrillic": -6}),
        ("el", _GREEK + "άέήίόύώϊϋΐΰ", {"cp1253": -4}),
        ("he", _HEBREW, {"cp1255": -2}),
        ("ar", _ARABIC, {"cp1256": -2}),
        ("th", "".join(map(chr, (*range(0xE01, 0xE3B), *range(0xE40, 0xE4F)))), {"cp874": -2}),
    )
    # The rows, by their first byte, of punctuation, kana and the more common characters, and the minimum of
    # the second byte. The fewer characters are common, the more probable is each.
    rows = (
        ("ko", "cp949", (0xA1, 0xA3, *range(0xB0, 0xC9)), 0xA1, 0.3, 0),
        ("ja", "cp932", (*range(0x81, 0x84), *range(0x88, 0x98)), 0x40, 0.4, 0),
        ("ja", "euc_jp", (0xA1, 0xA4, 0xA5, *range(0xB0, 0xD0)), 0xA1, 0.4, -3),
        ("zh", "gb18030", (0xA1, 0xA3, *range(0xB0, 0xD8)), 0xA1, 0.2, 0),
        ("cht", "big5", range(0xA1, 0xC7), 0x40, 0.2, 0),
    )
    return (
        *(
            ScriptEncoding(
                name,
                frozenset(_HINT_OF_LANGUAGE[language][1]),
                0.6,
                frozenset(letters + letters.upper()),
                prior,
            )
            for language, letters, names in alphabets
            for name, prior in names.items()
        ),
        *(
            ScriptEncoding(
                name,
                frozenset(_HINT_OF_LANGUAGE[language][1]),
                share,
                _characters(name, first_bytes, min_second_byte),
                prior,
            )
            for language, name, first_bytes, min_second_byte, share, prior in rows
        ),
    )


def _characters(encoding: str, first_bytes: Iterable[int], min_second_byte: int) -> frozenset[str]:
    """Return the characters of the rows of an encoding with two bytes a character."""
    pairs = (bytes((first, second)) for first in first_bytes for second in range(min_second_byte, 0xFF))
    return frozenset(char for pair in pairs if len(char := pair.decode(encoding, "ignore")) == 1)


def detect_script_encoding(sample: bytes) -> str:
    """Return the encoding of a text in another script than Latin; the default if it is in none of these."""
    sample = sample[:SCRIPT_SAMPLE_BYTES]
    logs = {each.name: each.log_probability(sample) for each in _script_encodings()}
    best = max(logs, key=lambda name: logs[name])
    high_count = sum(byte > 127 for byte in sample)
    by_chance = high_count * log(1 / 128) + (len(sample) - high_count) * log(_ASCII_SHARE)
    return best if logs[best] > by_chance else DEFAULT_ENCODING


def language_in_name(name: str) -> str | None:
    """Return the language that a file name gives: ru in film.ru.srt, zh-tw in film.zh-TW.sdh.srt."""
    for part in reversed(name.lower().replace("_", "-").split(".")[1:-1]):
        for language in (part, part.partition("-")[0]):
            if language in _HINT_OF_LANGUAGE:
                return language
    return None


def encoding_of_language(sample: bytes, language: str) -> str | None:
    """Return the encoding of a language that a text has; None if it seems to be in another language."""
    encodings, letters = _HINT_OF_LANGUAGE[language]
    is_latin = letters[0] < "\u0370"
    high_bytes, shares = bytes(byte for byte in sample if byte > 127), dict[str, float]()
    for encoding in encodings:
        try:
            text = sample.decode(encoding)
        except UnicodeDecodeError:
            continue
        if is_latin and _foreign_share(text) < MAX_LATIN_SHARE:
            shares[encoding] = _coverage(high_bytes, encoding, letters)
        elif not is_latin and _foreign_share(text) > MIN_FOREIGN_SHARE:
            others = [char for char in text if char > "\x7f"]
            shares[encoding] = sum(char in letters for char in others) / len(others)
    best = max(shares, key=lambda encoding: shares[encoding], default=None)
    minimum = MIN_COVERAGE if is_latin else MIN_COMMON_SHARE
    return best if best is not None and shares[best] >= minimum else None


def _foreign_share(text: str) -> float:
    """Return the share of the letters beyond ASCII that are in words without ASCII letters."""
    words = _WORDS.findall(text)
    total = sum(char > "\x7f" for word in words for char in word)
    foreign = sum(len(word) for word in words if min(word) > "\x7f")
    return foreign / total if total else 0.0


def detect_latin_encoding(sample: bytes) -> str:
    """Return the encoding of a Latin text that is not UTF-8."""
    high_bytes = bytes(byte for byte in sample if byte > 127)
    coverage = {
        encoding: max(_coverage(high_bytes, encoding, letters) for letters in languages)
        for encodings, languages in LETTERS_BY_LANGUAGE.items()
        for encoding in encodings
    }
    best = max(coverage, key=lambda encoding: coverage[encoding])
    letter_count = sum(byte > 127 or chr(byte).isalpha() for byte in sample)
    is_sure = (
        coverage[best] >= max(MIN_COVERAGE, coverage[DEFAULT_ENCODING] + MIN_ADVANTAGE)
        and len(high_bytes) >= max(MIN_LETTERS, MIN_LETTER_SHARE * letter_count)
        and len(set(high_bytes)) >= MIN_DISTINCT_LETTERS
    )
    return best if is_sure else DEFAULT_ENCODING


def _coverage(high_bytes: bytes, encoding: str, letters: str) -> float:
    """Return the share of the letters beyond ASCII in an encoding that a language has."""
    text = high_bytes.decode(encoding, "replace")
    counts = Counter(text.lower().translate(PUNCTUATION))
    total = counts.total()
    return sum(counts[letter] for letter in letters) / total if total else 0.0
