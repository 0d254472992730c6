"""Arguments of a shell, from which the quotes were removed, as one query."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.query.arguments import join_arguments
from retrieval.query.ast import File
from retrieval.query.parser import parse


@pytest.mark.parametrize(
    "typed",
    [
        'dog not:"two people"',
        'dog under:"My Trips"',
        'file:"my pool.jpg" + dog',
        'beach -people "red bicycle"',
        'dog -"two people"',
        '2:"golden retriever" + pool',
        'dog -2:"golden retriever"',
        'tag:"a b" tag:"c d"',
        'dog not:file:"my pool.jpg"',
        'camera:"Canon EOS 5D" dog',
        'dog under："My Trips"',
        "dog -people",
    ],
)
def test_arguments_of_a_shell_are_parsed_as_the_query_that_was_typed(typed):
    assert parse(join_arguments(shlex.split(typed))) == parse(typed)


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        (["a dog on the beach"], "a dog on the beach"),
        (["not:two people"], "not:two people"),
        (["a dog", "not:two people"], '"a dog" not:"two people"'),
        (["dog + beach", "kind:image"], "dog + beach kind:image"),
        (["dog -black", "kind:image"], "dog -black kind:image"),
        (["kind:image date:2024", "dog"], "kind:image date:2024 dog"),
        (['not:"two people"', "dog"], 'not:"two people" dog'),
        (["“red", "bicycle”"], '"red bicycle"'),
        (["dog", "", " "], "dog"),
        (["#12 at night", "dog"], "#12 at night dog"),
        (["12:30 train", "dog"], '"12:30 train" dog'),
        (["dog", "./my pool.jpg"], r"dog ./my\ pool.jpg"),
        (["dog", "not:./my pool.jpg"], r"dog not:./my\ pool.jpg"),
    ],
)
def test_argument_with_spaces_is_one_token_unless_it_contains_operators(arguments, query):
    assert parse(join_arguments(arguments)) == parse(query)


def test_single_argument_may_be_a_file_with_spaces_in_its_name(tmp_path):
    file = tmp_path / "my pool.jpg"
    file.touch()
    for argument in (str(file), f"file:{file}", f" {file} "):
        for arguments in ([argument], [argument, "dog"]):
            assert parse(join_arguments(arguments)).terms[0].operand == File(str(file))


def test_mistyped_filter_with_spaces_is_an_error():
    with pytest.raises(Exception, match="perhaps under:"):
        parse(join_arguments(["undr:My Trips", "dog"]))


@given(st.lists(st.text(max_size=20), min_size=2, max_size=5))
def test_any_arguments_make_a_text(arguments):
    join_arguments(arguments)
