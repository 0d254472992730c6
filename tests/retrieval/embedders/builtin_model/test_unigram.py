"""The tokenizer of the built-in model returns the same ids as the library `tokenizers`."""

import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from retrieval.embedders.builtin import MODEL_FOLDER
from retrieval.embedders.builtin_model import unigram
from retrieval.embedders.builtin_model.unigram import UnigramTokenizer
from tests.conftest import SHARED_DATA

BLOCK_NAMES = """
20-7E 00-1F 80-24F 300-36F 370-52F 590-6FF 900-97F E00-E7F 1100-11FF 1E00-1FFF 2000-206F
2070-2BFF 3000-30FF 3100-33FF 4E00-9FFF AC00-D7A3 F900-FB4F FB50-FDFF FE00-FFFF 1D400-1D7FF
1F000-1FAFF E0000-E01EF
"""
BLOCKS = [  # of Unicode: the 15 languages, other scripts, marks, symbols, emoji, controls, variants
    [int(end, 16) for end in block.split("-")] for block in BLOCK_NAMES.split()
]
SENTENCES = (
    "كلب في الثلج",
    "雪地里的一只狗",
    "雪地裡的一隻狗",
    "Een hond in de sneeuw",
    "A dog in the snow, isn't it?",
    "Un chien dans la neige, n'est-ce pas ?",
    "Ein Hund läuft über den weißen Schnee",
    "Un cane nella neve",
    "雪の中の犬がボールを追いかける",
    "ﾊﾝｶｸｶﾀｶﾅ",
    "눈 속의 개",
    "Pies bawiący się w śniegu",
    "Um cão na neve",
    "Собака в снегу",
    "¿Un perro en la nieve?",
    "สุนัขในหิมะ",
    "Karda bir köpek İSTANBUL",
    "ΟΔΥΣΣΕΥΣ",
    "",
    " ",
    "  a  b\t\tc\r\nd ",
    "\u3000a\u3000",
    "▁",
    "▁a▁▁b",
    "<unk>",
    "<s>a</s>",
    "🙂🐕‍🦺👩🏽‍🚀🇩🇪",
    "\x00a\x1fb\x7f\x85",
    "½\u0301",
    "Ａ\u0301b",
    "a\u0302\u0301",
    "a\u0302\u0301\u0302",
    "か\u3099",
    "\u0600½\u0301",
    "\ufeffa\u200bb\u200d",
    "©\u200d™\u0301",
    "e\u0301e\u0300",
    "ﷺ",
    "㍍",
    "x" * 500,
    "犬" * 300,
    "QUJDREVGRw==" * 40,
)


@pytest.fixture(scope="module")
def tokenizer():
    return UnigramTokenizer(MODEL_FOLDER / "tokenizer")


def own(tokenizer, text):
    return tokenizer.segment(tokenizer.normalize(text))


def library(tokenizer, text):
    return tokenizer._library.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("text", SENTENCES, ids=ascii)
def test_ids_are_those_of_the_library(tokenizer, text):
    assert own(tokenizer, text) == library(tokenizer, text)


def test_ids_of_captions_and_words_in_all_languages_are_those_of_the_library(tokenizer, languages):
    lines = [line for file in languages.glob("*.jsonl") for line in file.read_text("utf-8").splitlines()]
    texts = [text for line in lines for text in strings(json.loads(line))]
    assert len(texts) > 5_000
    assert [text for text in texts if own(tokenizer, text) != library(tokenizer, text)] == []


def test_library_has_the_pieces_of_the_trained_tokenizer(tokenizer):
    file = SHARED_DATA.parent / "builtin" / "tokenizer.json"
    if not file.is_file():
        pytest.skip("needs ../shared/builtin")
    trained = Tokenizer.from_file(str(file))
    trained.no_truncation()
    for text in SENTENCES:
        assert trained.encode(text, add_special_tokens=False).ids == library(tokenizer, text)
    pieces = json.loads(file.read_text("utf-8"))["model"]["vocab"]
    assert [list(piece) for piece in tokenizer.pieces()] == pieces


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
    assert tokenizer.encode(["\ud800a"]) == [own(tokenizer, "?a")]
    assert tokenizer.encode(["a\udcff"]) == [own(tokenizer, "a?")]


def test_many_texts_are_left_to_the_library(tokenizer, monkeypatch):
    fresh = UnigramTokenizer(MODEL_FOLDER / "tokenizer")
    texts = [*SENTENCES, "\ud800a"]
    few = fresh.encode(texts)
    assert "_library" not in vars(fresh)
    monkeypatch.setattr(unigram, "MAX_OWN_CHARACTERS", 100)
    assert fresh.encode(texts) == few
    assert "_library" in vars(fresh)


def test_pieces_are_in_the_order_of_their_ids(tokenizer):
    pieces = tokenizer.pieces()
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
