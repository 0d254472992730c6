"""Docstrings, help texts and names of tests use plain technical English.

This is a ratchet: it detects drift, it does not judge style. The expression matches constructions that occur
in at most 3 % of the docstrings of beets, txtai, docling and borg. Some matches are good English.
"""

import ast
import re
from pathlib import Path

import click
import pytest

from indexer.cli.main import main

ROOT = Path(__file__).parents[2]
MAX_SHARES = {"retrieval": 0.03, "indexer": 0.03, "tests": 0.03}  # of docstrings that match
ARCHAIC = re.compile(
    r"""\b(of which|of what|of whom|what is|what was|what it|what they|as it (is|was|has)|as they (are|were)
    |so many|so much|so long|anew|beside|behind|nobody|(is|are) no(?! longer)|lets? go|look(s|ed)? over|said
    |says of|mend(s|ed)?|in vain|heed|held to|stands? in|whose turn|may lack|there is none
    |where (it|there) is)\b""".replace("\n    ", ""),
    re.IGNORECASE,
)


def docstrings(folder: str) -> dict[str, str]:
    """Return location -> docstring of the modules, classes and functions in a folder."""
    return {
        f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}": text
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and (text := ast.get_docstring(node))
    }


def names_of_tests() -> dict[str, str]:
    """Return location -> words of the names of the test functions."""
    return {
        f"{path.relative_to(ROOT)}:{node.lineno}": node.name.removeprefix("test_").replace("_", " ")
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def help_texts() -> dict[str, str]:
    """Return name -> help of the commands and their options."""
    texts = {f"clew {name}": command.help for name, command in main.commands.items()}
    options = {
        f"clew {name} {option.opts[0]}": option.help
        for name, command in main.commands.items()
        for option in command.params
        if isinstance(option, click.Option)
    }
    return texts | options


@pytest.mark.parametrize("folder", MAX_SHARES)
def test_few_docstrings_use_archaic_constructions(folder):
    texts = docstrings(folder)
    matches = {location: match[0] for location, text in texts.items() if (match := ARCHAIC.search(text))}
    assert len(matches) <= MAX_SHARES[folder] * len(texts), "\n".join(f"{k}: {v}" for k, v in matches.items())


def test_names_of_tests_begin_with_their_subject():
    first_words = {location: name.split()[0] for location, name in names_of_tests().items()}
    others = {"a", "an", "the", "it", "that", "there", "what", "whatever", "where", "who", "whose"}
    assert {location: word for location, word in first_words.items() if word in others} == {}


def test_no_help_text_uses_archaic_constructions():
    matches = {name: match[0] for name, text in help_texts().items() if (match := ARCHAIC.search(text))}
    assert matches == {}


@pytest.mark.parametrize(
    ("text", "archaic"),
    [
        ("Say what is to be looked over anew.", True),
        ("Return the files to scan again.", False),
        ("Said.", True),
    ],
)
def test_expression_matches_archaic_constructions_only(text, archaic):
    assert bool(ARCHAIC.search(text)) == archaic
