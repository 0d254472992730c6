"""The query language: texts and their trees, and syntax errors with their columns."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.errors import QuerySyntaxError
from retrieval.query.ast import Concept, File, Query, Segment, Term, Url, Words
from retrieval.query.parser import parse

# fmt: off
PIECES = st.sampled_from(
    [
        '"',
        "\\",
        " ",
        "+",
        "-",
        "|",
        "2:",
        "0.5:",
        "not:",
        "file:",
        "kind:",
        "tag:x",
        "-tag:y",
        "./a",
        "/",
        "~/b",
        "#12",
        "@rex",
        "http://x/y",
        "12:30",
        "-5",
        "+a",
        "a-b",
        "x",
        "é",
        ".",
        "\t",
        "\u3000",
        "\0",
        "犬",
        "−",
        "–",
        "“",
        "”",
        "«",
        "not：",
        "2：",
    ]
)
WORDS = [
    "T-shirt", "C++", "AC/DC", "12:30 train", "2:1 ratio", "temperature -5", "we are #one", "me@home", "/",
    "note: this", "a|b", '"|"', "rock'n'roll", r"\kind:video", r"\-people", '"- kind:video"', '5 \\" nails',
]
# fmt: on


def words(text: str, weight: float = 1.0) -> Term:
    return Term(Words(tuple((word, False) for word in text.split())), weight)


def test_byte_that_is_no_utf8_is_replaced_in_words_and_kept_in_paths():
    query = parse('caf\udce9 "\udce9t\udce9" not:caf\udce9 ./caf\udce9.jpg under:caf\udce9')
    assert query == Query(
        (Term(Words((("caf?", False), ("?t?", True)))), Term(File("./caf\udce9.jpg"))),
        (Words((("caf?", False),)),),
        (("under", "caf\udce9"),),
    )


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a dog on the beach", Query((words("a dog on the beach"),))),
        (
            "2:golden retriever + ./pool.jpg - fruit",
            Query((words("golden retriever", 2.0), Term(File("./pool.jpg")), words("fruit", -1.0))),
        ),
        ("beach -people sunset", Query((words("beach"), words("people", -1.0), words("sunset")))),
        ("a - 0.5:red wine", Query((words("a"), words("red wine", -0.5)))),
        ("#12 + at night -@rex", Query((Term(Segment(12)), words("at night"), Term(Concept("rex"), -1.0)))),
        ('dogs "red bicycle"', Query((Term(Words((("dogs", False), ("red bicycle", True)))),))),
        ('file:"my dog.jpg"', Query((Term(File("my dog.jpg")),))),
        (r"./my\ dog.jpg", Query((Term(File("./my dog.jpg")),))),
        ("https://a.example/x.jpg", Query((Term(Url("https://a.example/x.jpg")),))),
        (
            'sea not:people not:"a boat"',
            Query((words("sea"),), (words("people").operand, Words((("a boat", True),)))),
        ),
        ("sea not:#4 not:./x.jpg", Query((words("sea"),), (Segment(4), File("./x.jpg")))),
        (
            'kind:video under:"My Trips" sea DATE:2022..2024',
            Query(
                (words("sea"),), filters=(("kind", "video"), ("under", "My Trips"), ("date", "2022..2024"))
            ),
        ),
        (
            'red -kind:video boat −TAG："old pier"',
            Query((words("red boat"),), filters=(("-kind", "video"), ("-tag", "old pier"))),
        ),
        (
            "dog date:2021 | -cat not:tree | @rex",
            Query(
                (words("dog"),),
                filters=(("date", "2021"),),
                others=(
                    Query((words("cat", -1.0),), (words("tree").operand,)),
                    Query((Term(Concept("rex")),)),
                ),
            ),
        ),
        ("", Query()),
    ],
)
def test_query_is_parsed_to_a_tree(text, tree):
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "keyboard"),
    [
        ("beach −people", "beach -people"),
        ("beach –people", "beach -people"),
        ("beach – people", "beach - people"),
        ("beach －people ＋dog", "beach -people +dog"),
        ("“red bicycle”", '"red bicycle"'),
        ("„red bicycle“", '"red bicycle"'),
        ("« red bicycle »", '"red bicycle"'),
        ("»red bicycle«", '"red bicycle"'),
        ("＂red bicycle＂", '"red bicycle"'),
        ("−“red bicycle”", '-"red bicycle"'),
        ("under:“My Trips” not：people", 'under:"My Trips" not:people'),
        ("2：dog −2：cat", "2:dog -2:cat"),
        ("kind：image", "kind:image"),
        ("dog ｜ cat", "dog | cat"),
    ],
)
def test_typographic_characters_mean_those_of_a_keyboard(text, keyboard):
    assert str(parse(text)) == str(parse(keyboard))


@pytest.mark.parametrize("text", ["2019–2021", "T−shirt", "–5", r"\−people", "12：30", "L’Oréal"])
def test_typographic_characters_within_a_word_are_text(text):
    assert [type(term.operand) for term in parse(text).terms] == [Words]
    assert parse(text).terms[0].weight == 1


@pytest.mark.parametrize("text", WORDS)
def test_text_that_resembles_an_operator_is_words(text):
    query = parse(text)
    assert [type(term.operand) for term in query.terms] == [Words]
    assert (query.terms[0].weight, query.exclusions, query.filters) == (1.0, (), ())


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ('red "bicycle', 5, "not closed"),
        ("a + ", 3, "nothing follows"),
        ("a + - b", 3, "nothing follows"),
        ("kind:", 1, "as in kind:image"),
        ("sea not:", 5, "as in not:people"),
        ("sea knd:video", 5, "perhaps kind:"),
        ("sea +kind:video", 6, "takes no plus sign"),
        ("red „bicycle", 5, "not closed"),
        ("sea ＋kind：video", 6, "takes no plus sign"),
        ("2:not:x", 3, "takes no sign or weight"),
        ("0:dog", 1, "not between 0.001 and 1000"),
        ("#99999999999999999999", 1, "not a valid segment id"),
    ],
)
def test_syntax_error_has_the_column_and_shows_the_query(text, column, message):
    with pytest.raises(QuerySyntaxError, match=message) as error:
        parse(text)
    assert error.value.column == column
    shown, caret = str(error.value).splitlines()[-2:]
    assert shown[2:] == text
    assert caret.index("^") == 2 + column - 1


@settings(max_examples=1000, deadline=None)
@given(st.one_of(st.lists(PIECES, max_size=12).map("".join), st.text(max_size=40)))
def test_printed_query_parses_to_the_same_tree_and_errors_have_a_column(text):
    try:
        query = parse(text)
    except QuerySyntaxError as error:
        assert 1 <= error.column <= len(text)
        assert f"Column {error.column}:" in str(error)
    else:
        assert parse(str(query)) == query


def test_error_of_a_long_query_shows_the_part_around_the_column():
    with pytest.raises(QuerySyntaxError) as error:
        parse("x" * 500 + ' "')
    assert all(len(line) <= 80 for line in str(error.value).splitlines()[1:])


@pytest.mark.parametrize(
    ("text", "column"), [("| dog", 1), ("dog |", 5), ("dog | | cat", 7), ("|", 1), ("a | -", 5)]
)
def test_alternative_without_a_term_is_an_error(text, column):
    with pytest.raises(QuerySyntaxError) as caught:
        parse(text)
    assert caught.value.column == column
