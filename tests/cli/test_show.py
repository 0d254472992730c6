"""clew show: everything that a library knows of a file."""

import json
from unicodedata import normalize

import pytest

from indexer.cli.main import main
from retrieval import Library
from retrieval.cli.show import MAX_SEGMENTS, describe_file
from tests.support.files import draw_image, write_text
from tests.support.terminal import run_in_terminal


@pytest.fixture
def indexed(clew, tmp_path):
    photos = tmp_path / "photos"
    draw_image(photos / "Trips" / "red.png", "red")
    write_text(photos / "Trips" / "red.txt", "a red wall\n")
    draw_image(photos / "copy.png", "red")
    for color in ("green", "blue"):  # labels need a calibrated kind
        draw_image(photos / "other" / f"{color}.png", color)
    write_text(photos / "notes.md", "\n\n".join(f"passage {number} " * 60 for number in range(60)))
    assert clew("index", photos).exit_code == 0
    assert clew("tag", "red wall", "--at-least", "0").exit_code == 0
    return clew


def test_file_is_described_by_path_and_by_id(indexed, tmp_path):
    done = indexed("show", "photos/Trips/red.png")
    assert done.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert lines["File"] == "photos/Trips/red.png"
    assert lines["Caption"] == "a red wall (red.txt)"
    assert lines["Copy"] == "photos/copy.png"
    assert lines["Size"].endswith("x 64") or " x " in lines["Size"]
    assert "by the model" in lines["Labels"] and "red wall" in lines["Labels"]
    assert "photos/Trips/red.png, captions, appearance" in done.stdout
    (id_,) = (label for label in lines if label.startswith("#"))
    assert indexed("show", id_).stdout == indexed("show", id_.removeprefix("#")).stdout == done.stdout


@pytest.mark.parametrize("query", ["red", 'tag:"red wall"', 'red tag:"red wall"'])
def test_why_tells_the_labels_that_the_model_gave(indexed, query):
    first = indexed("search", query, "--kind", "image", "--why").stdout.split("\n2  ")[0]
    assert first.count("%  for the tag red wall, a guess of the model that counts only in filters") == 1
    hit = json.loads(indexed("search", query, "--kind", "image", "--why", "--json").stdout)[0]
    (label,) = hit["why"]["labels"]
    assert label["name"] == "red wall" and 0 <= label["confidence"] <= 1
    assert "why" not in json.loads(indexed("search", query, "--json").stdout)[0]


def test_json_has_all_properties_and_segments(indexed):
    details = json.loads(indexed("show", "photos/notes.md", "--json").stdout)
    assert {"path", "time", "size", "width", "camera", "latitude", "keywords", "labels", "captions", "copies",
            "segments", "rating", "duration", "error", "offline"} <= set(details)  # fmt: skip
    assert len(details["segments"]) > MAX_SEGMENTS
    assert set(details["segments"][0]) == {"id", "kind", "origin", "text", "start", "end", "page", "box"}
    shown = indexed("show", "photos/notes.md").stdout
    assert f"and {len(details['segments']) - MAX_SEGMENTS} more segments" in shown


@pytest.mark.parametrize("file", ["none.jpg", "#999999", "photos"])
def test_unknown_file_exits_with_1_and_one_line(indexed, file):
    done = indexed("show", file)
    assert (done.exit_code, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "library" in done.stderr


def test_file_that_could_not_be_read_shows_the_reason(indexed, tmp_path):
    (tmp_path / "photos" / "empty.png").touch()
    indexed("index")
    assert "empty file" in indexed("show", "photos/empty.png").stdout


def test_decomposed_name_is_shown_by_its_composed_form(clew, tmp_path):
    draw_image(tmp_path / "photos" / normalize("NFD", "été.png"), "red")
    clew("index", tmp_path / "photos")
    assert clew("show", "photos/été.png").exit_code == 0


def test_details_of_a_library_equal_the_command(indexed, tmp_path):
    with Library.open(tmp_path / "library") as library:
        details = library.details(tmp_path / "photos" / "copy.png")
        assert describe_file(details) == indexed("show", "photos/copy.png").stdout
        assert [label.name for label in details.labels] == ["red wall"]
    assert "show" in main.commands


def test_lines_in_a_terminal_are_wrapped_below_their_text(indexed, tmp_path):
    (tmp_path / "photos" / "long.md").write_text("# Long\n" + "many words in a row " * 20)
    indexed("index")
    shown = run_in_terminal(["show", "photos/long.md"], tmp_path, CLEW_LIBRARY=str(tmp_path / "library"))
    assert max(map(len, shown.splitlines())) <= 80
    assert "\n          " in shown
    assert "".join(shown.split()) == "".join(indexed("show", "photos/long.md").stdout.split())
