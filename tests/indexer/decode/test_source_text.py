"""Code, data and logs are read as text, but cannot flood a library."""

import json

import pytest

from indexer.decode.registry import SOURCE_SUFFIXES
from retrieval.media.limits import DEFAULT_LIMITS
from tests.support.files import draw_image, write_text


@pytest.mark.parametrize("suffix", sorted(SOURCE_SUFFIXES))
def test_code_data_and_logs_are_found_by_their_words(suffix, tmp_path, index, open_library):
    write_text(tmp_path / "media" / f"settings{suffix}", "the wifi password is hunter2\n")
    assert index(tmp_path / "media").segments == 1
    with open_library() as library:
        (hit,) = library.search('"hunter2"', kind="text")[:1]
    assert (hit.path.name, hit.start) == (f"settings{suffix}", 1)


def test_long_logs_are_read_to_a_limit_and_generated_files_to_one_passage(tmp_path, index):
    media = tmp_path / "media"
    write_text(media / "server.log", "\n\n".join(f"line {n} of the server" for n in range(5_000)))
    write_text(media / "data.json", json.dumps({f"key {n}": f"value {n}" for n in range(5_000)}))
    report = index(media)
    assert (report.added, report.failed) == (2, 0)
    assert report.segments == DEFAULT_LIMITS.max_source_passages + 1
    notes = "\n".join(report.notes)
    assert "server.log: only the first 200 passages are read" in notes
    assert "data.json: only the first passage is read" in notes


def test_folders_of_packages_and_hidden_ones_are_left_out(tmp_path, index):
    for folder in ("node_modules/left-pad", ".git", "__pycache__"):
        write_text(tmp_path / "media" / folder / "index.js", "red")
    write_text(tmp_path / "media" / "main.js", "blue")
    assert index(tmp_path / "media").added == 1


def test_json_next_to_an_image_is_its_caption(tmp_path, index, open_library):
    draw_image(tmp_path / "media" / "a.png", "red")
    write_text(tmp_path / "media" / "a.json", '{"caption": "sunrise over water"}')
    index(tmp_path / "media")
    with open_library() as library:
        assert library.search('"sunrise"')[0].path.name in ("a.png", "a.json")
