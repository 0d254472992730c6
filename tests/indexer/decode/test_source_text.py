"""Code, data and logs are read as text, but cannot flood a library."""

import json
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.decode.context import DecodeContext
from indexer.decode.registry import SOURCE_SUFFIXES
from indexer.decode.text import plain
from retrieval import Library, SearchOptions
from retrieval.media.limits import DEFAULT_LIMITS
from tests.support.files import draw_image, write_text
from tests.support.toy_embedder import ToyEmbedder


def test_code_data_and_logs_are_found_by_their_words(tmp_path, index, place, toy):
    for suffix in SOURCE_SUFFIXES:
        write_text(tmp_path / "media" / f"settings{suffix}", f"first line\nred wifi {suffix[1:]}\n")
    report = index(tmp_path / "media")
    assert (report.added, report.failed, report.notes) == (len(SOURCE_SUFFIXES), 0, [])
    with Library.open(place, embedder=toy) as library:
        for suffix in SOURCE_SUFFIXES:
            hits = library.search(f'"wifi {suffix[1:]}"', options=SearchOptions(by="keyword"))
            assert (hits[0].path.name, hits[0].kind) == (f"settings{suffix}", "text")


def test_long_logs_are_read_to_a_limit_and_generated_files_to_one_passage(tmp_path, index):
    media = tmp_path / "media"
    write_text(media / "server.log", "\n\n".join(f"line {n} of the server" for n in range(5_000)))
    write_text(media / "data.json", json.dumps({f"key {n}": f"value {n}" for n in range(5_000)}))
    report = index(media)
    assert (report.added, report.failed) == (2, 0)
    assert report.kinds["text"] == DEFAULT_LIMITS.max_source_passages + 1
    notes = "\n".join(report.notes)
    assert "server.log: only the first 200 passages are read" in notes
    assert "data.json: only the first passage is read" in notes


@pytest.mark.parametrize(
    ("source", "text"),
    [
        *(
            (r"\u0411\u0435\u043b\u044b\u0439", "Белый"),
            (r"\ud83e\udd8a fox", "🦊 fox"),
            (r"caf\u00e9", "café"),
        ),
        *((r"C:\\u0041", r"C:\u0041"), (r"red\n\"blue\"", 'red "blue"'), (r"a\u000Ab\u2028c", "a b c")),
        (r"\ud83e red \u12", "\ufffd red \\u12"),
    ],
)
def test_escapes_of_json_are_their_characters(source, text):
    decoded = plain.decode(BytesIO(f'{{"a": "{source}"}}'.encode()), ".json", DecodeContext(ToyEmbedder()))
    assert [draft.text for draft in decoded.drafts] == [f'{{"a": "{text}"}}']
    decoded = plain.decode(BytesIO(source.encode()), ".log", DecodeContext(ToyEmbedder()))
    assert [draft.text for draft in decoded.drafts] == [source]


@given(st.text(alphabet='\\u0dD8aAn"\n/', max_size=60))
def test_any_text_is_read_as_json_with_the_lines_of_its_source(text):
    data = f"red {text}\n\nblue".encode()
    decoded = plain.decode(BytesIO(data), ".json", DecodeContext(ToyEmbedder()))
    assert decoded.drafts[-1].end == data.count(b"\n") + 1


def test_folders_of_packages_and_hidden_ones_are_left_out(tmp_path, index):
    for folder in ("node_modules/left-pad", ".git", "__pycache__"):
        write_text(tmp_path / "media" / folder / "index.js", "red")
    write_text(tmp_path / "media" / "main.js", "blue")
    assert index(tmp_path / "media").added == 1


def test_json_next_to_an_image_is_only_its_caption(tmp_path, index, place, toy):
    draw_image(tmp_path / "media" / "a.png", "red")
    write_text(tmp_path / "media" / "a.json", '{"caption": "sunrise over water", "id": 7}')
    index(tmp_path / "media")
    with Library.open(place, embedder=toy) as library:
        hits = library.search('"sunrise"', options=SearchOptions(by="keyword"))
        assert [hit.path.name for hit in hits] == ["a.png"]
