"""The tokenizer of the built-in model returns the same ids as the library `tokenizers`."""

import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.embedders.builtin import MODEL_FOLDER
from retrieval.embedders.builtin_model import unigram
from retrieval.embedders.builtin_model.unigram import UnigramTokenizer
from tests.conftest import SHARED_DATA

BLOCKS = (  # of Unicode: the 15 languages, other scripts, marks, symbols, emoji, controls, variants
    *(
        (0x20, 0x7E),
        (0x00, 0x1F),
        (0x80, 0x24F),
        (0x300, 0x36F),
        (0x370, 0x52F),
        (0x590, 0x6FF),
        (0x900, 0x97F),
    ),
    *(
        (0xE00, 0xE7F),
        (0x1100, 0x11FF),
        (0x1E00, 0x1FFF),
        (0x2000, 0x206F),
        (0x2070, 0x2BFF),
        (0x3000, 0x30FF),
    ),
    *(
        (0x3100, 0x33FF),
        (0x4E00, 0x9FFF),
        (0xAC00, 0xD7A3),
        (0xF900, 0xFB4F),
        (0xFB50, 0xFDFF),
        (0xFE00, 0xFFFF),
    ),
    *((0x1D400, 0x1D7FF), (0x1F000, 0x1FAFF), (0xE0000, 0xE01EF)),
)
SENTENCES = (
    "كلب في الثلج", "雪地里的一只狗", "雪地裡的一隻狗", "Een hond in de sneeuw", "A dog in the snow, isn't it?",
    "Un chien dans la neige, n'est-ce pas ?", "Ein Hund läuft über den weißen Schnee", "Un cane nella neve",
    "雪の中の犬がボールを追いかける", "ﾊﾝｶｸｶﾀｶﾅ", "눈 속의 개", "Pies bawiący się w śniegu", "Um cão na neve",
    "Собака в снегу", "¿Un perro en la nieve?", "สุนัขในหิมะ", "Karda bir köpek İSTANBUL", "ΟΔΥΣΣΕΥΣ",
    "", " ", "  a  b\t\tc\r\nd ", "\u3000a\u3000", "▁", "▁a▁▁b", "<unk>", "<s>a</s>", "🙂🐕‍🦺👩🏽‍🚀🇩🇪", "\x00a\x1fb\x7f\x85",
    "½\u0301", "Ａ\u0301b", "a\u0302\u0301", "a\u0302\u0301\u0302", "か\u3099", "\u0600½\u0301", "\ufeffa\u200bb\u200d",
    "©\u200d™\u0301", "e\u0301e\u0300", "ﷺ", "㍍", "x" * 500, "犬" * 300, "QUJDREVGRw==" * 40, "\ud800a",
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return UnigramTokenizer(MODEL_FOLDER / "tokenizer")


def own(tokenizer, text):
    return tokenizer.segment(tokenizer.normalize(text))


def library(tokenizer, text):
    return tokenizer._library.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("text", SENTENCES[:-1], ids=ascii)
def test_ids_are_those_of_the_library(tokenizer, text):
    assert own(tokenizer, text) == library(tokenizer, text)


def test_ids_of_captions_and_words_in_all_languages_are_those_of_the_library(tokenizer):
    folder = SHARED_DATA / "languages"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/languages")
    texts = [text for file in folder.glob("*.jsonl") for text in strings(map(json.loads, file.open()))]
    assert len(texts) > 5_000
    assert [text for text in texts if own(tokenizer, text) != library(tokenizer, text)] == []


def strings(value):
    """Yield the strings in a JSON value."""
    if isinstance(value, str):
        yield value
    else:
        for each in (
            value.values() if isinstance(value, dict) else value if hasattr(value, "__iter__") else ()
        ):
            yield from strings(each)


def test_ids_of_10000_generated_strings_are_those_of_the_library(tokenizer):
    draw = random.Random(13)
    differing = []
    for _ in range(10_000):
        blocks = draw.sample(BLOCKS, draw.randint(1, 3))
        text = "".join(chr(draw.randint(*draw.choice(blocks))) for _ in range(draw.randint(0, 14)))
        if draw.random() < 0.3:  # marks after the characters
            text = "".join(c + chr(draw.randint(0x300, 0x36F)) * draw.randint(0, 2) for c in text)
        if own(tokenizer, text) != library(tokenizer, text):
            differing.append(text)
    assert differing == []


@given(st.text(max_size=60))
@settings(deadline=None, max_examples=300)
def test_ids_of_any_text_are_those_of_the_library(text):
    tokenizer = _shared()
    assert own(tokenizer, text) == library(tokenizer, text)


def _shared(known=[]):  # noqa: B006
    known += [UnigramTokenizer(MODEL_FOLDER / "tokenizer")] * (not known)
    return known[0]


def test_surrogates_are_replaced(tokenizer):
    assert own(tokenizer, "\ud800a") == own(tokenizer, "?a")
    assert tokenizer.encode(["a\udcff"]) == [own(tokenizer, "a?")]


def test_many_texts_are_left_to_the_library(tokenizer, monkeypatch):
    fresh = UnigramTokenizer(MODEL_FOLDER / "tokenizer")
    texts = list(SENTENCES)
    few = fresh.encode(texts)
    assert "_library" not in vars(fresh)
    monkeypatch.setattr(unigram, "MAX_OWN_CHARACTERS", 100)
    assert fresh.encode(texts) == few
    assert "_library" in vars(fresh)


def test_pieces_are_in_the_order_of_their_ids(tokenizer):
    pieces = tokenizer._pieces()
    assert (len(pieces), pieces[:4]) == (
        105_730,
        [("<unk>", 0), ("<s>", 0), ("</s>", 0), ("▁", pieces[3][1])],
    )


def test_short_query_is_tokenized_in_less_than_a_millisecond(tokenizer):
    own(tokenizer, "ein Hund im Schnee")
    times = []
    for _ in range(20):
        started_at = time.perf_counter()
        own(tokenizer, "ein Hund im Schnee")
        times.append(time.perf_counter() - started_at)
    assert min(times) < 1e-3
