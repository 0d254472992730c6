"""Distinguish the 8-bit encodings of Latin scripts by the letters of their languages.

A text has the encoding in which nearly all of its letters beyond ASCII belong to one language.
"""

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
