"""The command: what is typed, what is shown, and how it ends."""

import csv
import io
import json
import os
import subprocess
import sys

import pytest

from retrieval.cli.hit_formats import HIT_KEYS
from retrieval.formatting import format_bytes, one_line, printable
from tests.support.files import draw_image, requires_non_utf8_names, write_text
from tests.support.terminal import run_in_terminal


@pytest.fixture
def indexed(clew, folder):
    """Index the coloured pictures with the built-in model."""
    write_text(folder / "red.txt", "a red wall\n")
    done = clew("index", folder)
    assert done.exit_code == 0, done.output
    return clew


def test_index_tells_what_it_did(clew, folder):
    write_text(folder / "notes.xyz", "")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8")
    done = clew("index", folder)
    assert done.exit_code == 0
    assert done.stdout.startswith("7 images in ")
    assert "1 skipped: could not be read" in done.stdout
    assert "1 skipped: of a kind clew does not read (1 .xyz)" in done.stdout
    assert "nothing new" in clew("index").stdout


def test_index_json_ends_with_the_counts(clew, folder):
    done = json.loads(clew("index", folder, "--json").stdout)
    assert list(done) == [
        "added", "updated", "moved", "offline", "gone", "unchanged", "failed", "segments", "seconds"
    ]  # fmt: skip
    assert (done["added"], done["segments"]) == (7, 7)


def test_words_alone_are_a_search(indexed):
    one, two = indexed("search", "a red wall"), indexed("a", "red", "wall")
    assert one.exit_code == 0
    assert one.stdout == two.stdout
    rank, score, path, text, where = one.stdout.splitlines()[0].split("\t")
    assert (rank, text, where) == ("1", "a red wall", "")
    assert float(score) > 0.9
    assert path.endswith("red.png")


def test_json_has_the_keys_of_the_design(indexed):
    hits = json.loads(indexed("search", "red", "--json", "-k", 3).stdout)
    assert len(hits) == 3
    assert all(tuple(hit) == HIT_KEYS for hit in hits)
    assert 0.75 <= hits[0]["confidence"] <= 1
    lines = indexed("search", "red", "--nl", "-k", 3).stdout.splitlines()
    assert [json.loads(line) for line in lines] == hits


def test_csv_has_a_header_and_the_same_rows(indexed):
    rows = list(csv.DictReader(io.StringIO(indexed("search", "red", "--csv").stdout)))
    hits = json.loads(indexed("search", "red", "--json").stdout)
    assert [row["path"] for row in rows] == [hit["path"] for hit in hits]
    assert tuple(rows[0]) == HIT_KEYS


@requires_non_utf8_names
def test_paths_are_each_once_and_as_they_are(clew, folder):
    os.rename(os.fsencode(folder / "red.png"), os.fsencode(folder) + b"/r\xe9d\n.png")
    clew("index", folder)
    assert clew("search", "red", "--paths", "--kind", "image").stdout_bytes.count(b"r\xe9d\n.png\n") == 1
    assert os.fsencode(folder) + b"/r\xe9d\n.png" in clew("red", "-0").stdout_bytes.split(b"\0")
    assert b"r\\udce9d\\n.png" in clew("search", "red", "--json").stdout_bytes
    assert len(clew("search", "red").stdout_bytes.splitlines()) == 7


def test_a_picture_asks_for_text(indexed, folder):
    hits = json.loads(indexed("search", "--image", folder / "red.png", "--kind", "text", "--json").stdout)
    assert [(hit["text"], hit["path"]) for hit in hits] == [("a red wall", str(folder / "red.png"))]
    assert (hits[0]["start"], hits[0]["end"]) == (1, 1)


def test_similar_leaves_itself_out(indexed, folder):
    done = indexed("similar", folder / "red.png", "--paths")
    assert done.exit_code == 0
    assert str(folder / "red.png") not in done.stdout.splitlines()
    assert len(done.stdout.splitlines()) == 6


def test_nothing_found_is_exit_1_and_misuse_2(indexed, folder):
    none = indexed("search", "red", "--kind", "video")
    assert (none.exit_code, none.stdout) == (1, "")
    assert "Nothing found" in none.stderr
    assert json.loads(indexed("search", "red", "--under", "none", "--json").stdout) == []
    for words in (["search", ""], ["search", "red", "--after", "soon"], ["search"], ["similar", "none.png"],
                  ["search", '"red'], ["search", "red", "--library", "none"],
                  ["index", "none"], ["search", "red", "--nope"], ["eval", "none.jsonl"]):  # fmt: skip
        done = indexed(*words)
        assert done.exit_code == 2, words
        assert done.stdout == ""
        assert "Error: " in done.stderr
        assert "Traceback" not in done.stderr


def test_index_without_a_folder_or_library_says_what_to_give(clew):
    done = clew("index")
    assert done.exit_code == 2
    assert "clew index ~/Pictures" in done.stderr


def test_status_shows_the_library(indexed, folder):
    text = indexed("status").stdout
    assert "7 images, 1 passage" in text
    assert "builtin, 256 dimensions" in text
    assert "recall@10 1.000" in text
    assert str(folder) in text
    status = json.loads(indexed("status", "--json").stdout)
    assert status["segments"] == {"image": 7, "text": 1}
    assert [file["recall"] for file in status["space"]["indexes"]] == [1, 1]


def test_status_lists_what_could_not_be_read(clew, folder):
    (folder / "empty.png").touch()
    clew("index", folder)
    assert clew("status", "--errors").stdout == f"{folder / 'empty.png'}\tempty file\n"
    assert json.loads(clew("status", "--errors", "--json").stdout)[0]["reason"] == "empty file"


def test_models_tells_quality_and_limits(clew):
    text = clew("models").stdout
    assert "9.6 / 28.2 / 39.4" in text
    assert "Basic" in text
    assert json.loads(clew("models", "--json").stdout)[0]["dim"] == 256


def test_offline_files_are_shown_as_such(indexed, folder):
    folder.rename(folder.with_name("away"))
    done = indexed("index")
    assert done.exit_code == 0
    assert "8 offline" in done.stdout
    assert "offline" in indexed("search", "red").stderr
    assert "not available now" in indexed("status").stdout


def test_forget_takes_a_folder_out(indexed, folder):
    assert indexed("forget", folder).stdout == "8 files forgotten.\n"
    assert indexed("search", "red").exit_code == 1
    assert indexed("forget", "--purge").stdout == "0 files forgotten, 8 segments deleted.\n"
    assert indexed("forget").exit_code == 2


def test_eval_measures_both_ways(clew, folder):
    rows = [{"image": f"pictures/{c}.png", "captions": [f"a {c} wall"]} for c in ("red", "green", "blue")]
    rows.append({"image": "pictures/none.png", "captions": ["nothing"]})
    pairs = write_text(folder.parent / "captions.jsonl", "\n".join(map(json.dumps, rows)))
    done = clew("eval", pairs, "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert list(found) == ["text_to_image", "image_to_text", "space", "pairs", "pictures"]
    assert list(found["text_to_image"]) == [
        "recall@1",
        "recall@5",
        "recall@10",
        "mrr",
        "ndcg@10",
        "median_rank",
        "true_recall@10",
        "precision@10",
        "map",
    ]
    assert (found["pairs"], found["space"], found["text_to_image"]["recall@5"]) == (3, "builtin", 100)
    assert "none.png: not there" in done.stderr
    assert "text to image" in clew("eval", pairs).stdout


def test_one_caption_a_line_is_the_same_as_a_list(clew, folder):
    pairs = [
        (c, f"a {c} {thing}") for c in ("red", "green", "blue") for thing in ("wall", "door", "car \u2028 x")
    ]
    lines = [{"image": f"pictures/{c}.png", "captions": [text]} for c, text in pairs]
    lists = [
        {"image": f"pictures/{c}.png", "captions": [text for d, text in pairs if c == d]}
        for c in ("red", "green", "blue")
    ]
    one = write_text(
        folder.parent / "one.jsonl", "\ufeff" + "\n".join(json.dumps(r, ensure_ascii=False) for r in lines)
    )
    two = write_text(folder.parent / "two.jsonl", "\n".join(map(json.dumps, lists)))
    assert clew("eval", one, "--json").stdout == clew("eval", two, "--json").stdout


@pytest.mark.parametrize(
    "text", ["", "[]", '{"image": "a.png"}', '{"image": "a.png", "captions": "one"}', "{"]
)
def test_a_captions_file_that_is_wrong_names_its_line(clew, tmp_path, text):
    done = clew("eval", write_text(tmp_path / "c.jsonl", text))
    assert done.exit_code == 2
    assert "line 1" in done.stderr or "is empty" in done.stderr


def test_every_command_has_help(clew):
    from indexer.cli.main import main

    for name in main.commands:
        done = clew(name, "--help")
        assert done.exit_code == 0
        assert len(done.stdout.splitlines()) > 5
        assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert "clew index ~/Pictures" in clew("--help").stdout
    assert max(map(len, clew("--help").stdout.splitlines())) <= 80
    assert "clew, version" in clew("--version").stdout


def test_a_terminal_shows_a_table_that_fits(indexed, folder):
    draw_image(folder / ("long " * 30 + "name\n.png"), (200, 10, 10))
    indexed("index")
    shown = run_in_terminal(["search", "a red wall"], folder.parent)
    assert "score" in shown.splitlines()[0]
    assert "pictures/red.png" in shown
    assert "name\\n.png" in "".join(line.strip() for line in shown.splitlines())
    assert max(map(len, shown.splitlines())) <= 80, shown


def test_a_closed_pipe_is_no_error(indexed, folder):
    command = f"{sys.executable} -c 'from indexer.cli.main import main; main()' search red --nl | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=folder)
    assert json.loads(done.stdout)
    assert done.stderr == ""


def test_lines_and_names_are_written_so_that_they_hold():
    assert one_line("a\tb\nc") == "a\\tb\\nc"
    assert one_line("a\\b\x1b[31m") == "a\\b\\x1b[31m"
    assert printable("a\x1b[31m\udce9é") == "a\\x1b[31m\\udce9é"
    assert [format_bytes(n) for n in (999, 1_000, 2_345_678, 5e12)] == ["999 B", "1.0 kB", "2.3 MB", "5.0 TB"]
