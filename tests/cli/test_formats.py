"""`clew formats` prints the registry of decoders."""

import json
import sys
import tomllib
from pathlib import Path

import pytest

from indexer.cli.formats import describe_extra, format_row
from indexer.decode.reader import DECODERS
from indexer.decode.registry import DECODER_BY_SUFFIX, FILE_FORMATS, SIDECAR_FORMAT, Extra
from retrieval.types import KINDS

FORMATS = (*FILE_FORMATS, SIDECAR_FORMAT)


def test_every_format_has_a_decoder_and_every_decoder_a_format():
    assert {file_format.decoder for file_format in FORMATS} == set(DECODERS)
    assert {file_format.kind for file_format in FORMATS} == set(KINDS)


def test_no_suffix_is_listed_twice():
    suffixes = [suffix for file_format in FILE_FORMATS for suffix in file_format.suffixes]
    assert len(suffixes) == len(set(suffixes)) == len(DECODER_BY_SUFFIX)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)


def test_extras_of_formats_are_extras_of_the_package():
    extras = {file_format.extra.name for file_format in FORMATS if file_format.extra}
    pyproject = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    assert extras <= set(pyproject["project"]["optional-dependencies"])


def test_table_lists_every_suffix_in_80_columns(clew):
    done = clew("formats")
    assert done.exit_code == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert {*DECODER_BY_SUFFIX, ".xmp", ".zip"} <= set(done.stdout.split())


def test_json_has_one_object_per_format(clew):
    formats = json.loads(clew("formats", "--json").stdout)
    assert [tuple(entry["suffixes"]) for entry in formats] == [entry.suffixes for entry in FORMATS]
    svg = next(entry for entry in formats if ".svg" in entry["suffixes"])
    assert svg["extra"]["install"] == 'pip install "clew-search[svg]"'
    assert isinstance(svg["extra"]["installed"], bool)
    assert next(entry for entry in formats if ".md" in entry["suffixes"])["extra"] is None


@pytest.mark.parametrize(("module", "state"), [("json", "installed"), ("no_such_module", "not installed")])
def test_extra_is_described_with_its_state(module, state):
    assert describe_extra(Extra("svg", module)) == f"svg ({state})"


def test_missing_extra_is_shown_with_its_install_command(clew, monkeypatch):
    for entry in FORMATS:
        if entry.extra is not None:
            monkeypatch.setitem(sys.modules, entry.extra.module, None)  # as if it were not installed
    table = clew("formats").stdout
    assert max(map(len, table.splitlines())) <= 80
    assert table.endswith('pip install "clew-search[audio,jxl,ocr,raw,svg]"\n')


def test_long_cells_of_a_row_continue_below():
    lines = format_row(("image", ".jpg " * 10, "its content", "")).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("image  .jpg .jpg") and lines[1].startswith(" " * 7 + ".jpg")
