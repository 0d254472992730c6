"""Distinguish the 8-bit encodings of Latin scripts, or those of a known language, by their letters.

A text has the encoding in which nearly all of its letters beyond ASCII belong to one language.
"""

import re
from collections import Counter

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
