"""The commands: arguments, output and exit codes."""

import csv
import io
import json
import os
import subprocess
import sys

import pytest

from retrieval.cli.hits.formats import HIT_KEYS
from retrieval.formatting import one_line, printable
from tests.support.files import draw_image, requires_non_utf8_names, write_text
from tests.support.terminal import raw_terminal_output, run_in_terminal


@pytest.fixture
def indexed(clew, folder):
    """Index the colored images with the built-in model."""
    write_text(folder / "red.txt", "a red wall\n")
    done = clew("index", folder)
    assert done.exit_code == 0, done.output
    return clew


def test_index_prints_counts_of_indexed_and_skipped_files(clew, folder):
    write_text(folder / "notes.xyz", "")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8")
    done = clew("index", folder)
    assert done.exit_code == 0
    assert done.stdout.startswith("7 images in ")
    assert "1 skipped: could not be read" in done.stdout
    assert "1 skipped: unsupported format (1 .xyz)" in done.stdout
    assert "nothing new" in clew("index").stdout


def test_index_json_has_the_documented_counts(clew, folder):
    done = json.loads(clew("index", folder, "--json").stdout)
    assert list(done) == [
        "added", "updated", "moved", "offline", "gone", "unchanged", "failed", "segments", "seconds"
    ]  # fmt: skip
    assert (done["added"], done["segments"]) == (7, 7)


def test_words_without_a_command_are_a_search(indexed):
    explicit, implicit = indexed("search", "a red wall"), indexed("a", "red", "wall")
    assert explicit.exit_code == 0
    assert explicit.stdout == implicit.stdout
    rank, score, path, text, location, confidence, id_ = explicit.stdout.splitlines()[0].split("\t")
    assert (rank, text, location) == ("1", "a red wall", "")
    assert 0.75 <= float(confidence) <= 1
    assert indexed("search", f"{id_} + red").exit_code == 0
    assert float(score) > 0.9
    assert path.endswith("red.png")


def test_search_json_has_the_documented_keys(indexed):
    hits = json.loads(indexed("search", "red", "--json", "-k", 3).stdout)
    assert len(hits) == 3
    assert all(tuple(hit) == HIT_KEYS for hit in hits)
    assert 0.75 <= hits[0]["confidence"] <= 1
    lines = indexed("search", "red", "--nl", "-k", 3).stdout.splitlines()
    assert [json.loads(line) for line in lines] == hits


def test_csv_has_a_header_and_the_rows_of_the_json(indexed):
    rows = list(csv.DictReader(io.StringIO(indexed("search", "red", "--csv").stdout)))
    hits = json.loads(indexed("search", "red", "--json").stdout)
    assert [row["path"] for row in rows] == [hit["path"] for hit in hits]
    assert tuple(rows[0]) == HIT_KEYS


@requires_non_utf8_names
def test_paths_are_unique_and_keep_their_bytes(clew, folder):
    os.rename(os.fsencode(folder / "red.png"), os.fsencode(folder) + b"/r\xe9d\n.png")
    clew("index", folder)
    assert clew("search", "red", "--paths", "--kind", "image").stdout_bytes.count(b"r\xe9d\n.png\n") == 1
    assert os.fsencode(folder) + b"/r\xe9d\n.png" in clew("red", "-0").stdout_bytes.split(b"\0")
    assert b"r\\udce9d\\n.png" in clew("search", "red", "--json").stdout_bytes
    assert len(clew("search", "red").stdout_bytes.splitlines()) == 7


def test_search_by_image_finds_text(indexed, folder):
    hits = json.loads(indexed("search", "--image", folder / "red.png", "--kind", "text", "--json").stdout)
    assert [(hit["text"], hit["path"]) for hit in hits] == [("a red wall", str(folder / "red.png"))]
    assert (hits[0]["start"], hits[0]["end"]) == (1, 1)


def test_similar_excludes_the_image_itself(indexed, folder):
    done = indexed("similar", folder / "red.png", "--paths")
    assert done.exit_code == 0
    assert str(folder / "red.png") not in done.stdout.splitlines()
    assert len(done.stdout.splitlines()) == 6


def test_exit_code_is_1_without_hits_and_2_on_misuse(indexed, folder):
    empty = indexed("search", "red", "--kind", "video")
    assert (empty.exit_code, empty.stdout) == (1, "")
    assert "Nothing found" in empty.stderr
    assert json.loads(indexed("search", "red", "--under", "none", "--json").stdout) == []
    for words in (["search", ""], ["search", "red", "--after", "soon"], ["search"], ["similar", "none.png"],
                  ["search", '"red'], ["search", "red", "--library", "none"],
                  ["index", "none"], ["search", "red", "--nope"], ["eval", "none.jsonl"]):  # fmt: skip
        done = indexed(*words)
        assert done.exit_code == 2, words
        assert done.stdout == ""
        assert "Error: " in done.stderr
        assert "Traceback" not in done.stderr


def test_index_without_a_folder_or_a_library_shows_an_example(clew):
    done = clew("index")
    assert done.exit_code == 2
    assert "clew index ~/Pictures" in done.stderr


def test_status_shows_segments_model_and_recall(indexed, folder):
    text = indexed("status").stdout
    assert "7 images, 1 passage" in text
    assert "builtin, 384 dimensions" in text
    assert "image: exact, 7 vectors" in text
    assert str(folder) in text
    status = json.loads(indexed("status", "--json").stdout)
    assert status["segments"] == {"image": 7, "text": 1}
    assert [file["recall"] for file in status["space"]["indexes"]] == [1, 1]


def test_status_json_has_exactly_these_keys(indexed):
    status = json.loads(indexed("status", "--json").stdout)
    (root,), (image_index, _) = status["roots"], status["space"]["indexes"]
    assert {
        "status": set(status),
        "root": set(root),
        "space": set(status["space"]),
        "index": set(image_index),
    } == {
        "status": {
            *("folder", "roots", "segments", "kept", "space", "spaces", "precision", "ocr", "speech"),
            *("sounds", "tail", "size", "thumbnails", "thumbnail_limit", "thumbnails_full"),
            *("indexing", "vectors_url", "published", "unpublished"),
        },
        "root": {
            *("path", "state", "scanned", "present", "offline", "gone", "failed", "partial"),
            *("exclude", "hidden", "archives"),
        },
        "space": {
            *("id", "name", "model", "fingerprint", "dim", "indexed_to", "parts", "complete", "arch"),
            "indexes",
        },
        "index": {
            *("kind", "method", "file", "digest", "size", "count", "effort", "recall", "format", "mtime"),
            *("indexed_after", "indexed_to", "tunings"),
        },
    }
    for tuning in image_index["tunings"]:
        assert set(tuning) == {"query_mode", "effort", "recall", "p50_ms", "p95_ms"}


def test_tune_saves_the_recall_and_shows_words_and_images_apart(indexed):
    text = indexed("tune", "--recall", "0.97").stdout
    assert "image: exact, 7 vectors" in text
    assert text.splitlines()[1] in indexed("status").stdout
    files = json.loads(indexed("tune", "--json").stdout)
    assert [tuning["query_mode"] for tuning in files[0]["tunings"]] == ["words", "picture"]


def test_tune_refuses_an_impossible_recall(clew):
    done = clew("tune", "--recall", "1.1")
    assert (done.exit_code, done.stdout) == (2, "")


def test_status_errors_lists_unreadable_files(clew, folder):
    (folder / "empty.png").touch()
    clew("index", folder)
    assert clew("status", "--errors").stdout == f"{folder / 'empty.png'}\tempty file\n"
    assert json.loads(clew("status", "--errors", "--json").stdout)[0]["reason"] == "empty file"


def test_models_shows_quality_and_limits(clew):
    text = clew("models").stdout
    assert "24.9 / 54.6 / 69.0" in text
    assert "Basic" in text
    assert json.loads(clew("models", "--json").stdout)[0]["dim"] == 384


def test_offline_files_are_marked(indexed, folder):
    folder.rename(folder.with_name("away"))
    done = indexed("index")
    assert done.exit_code == 0
    assert "8 offline" in done.stdout
    assert "offline" in indexed("search", "red").stderr
    assert "not available now" in indexed("status").stdout


def test_forget_removes_a_folder_and_purge_its_segments(indexed, folder):
    assert indexed("forget", folder).stdout == "8 files forgotten.\n"
    assert indexed("search", "red").exit_code == 1
    assert indexed("forget", "--purge").stdout == "0 files forgotten, 8 segments deleted.\n"
    assert indexed("forget").exit_code == 2


def test_eval_measures_both_directions(clew, folder):
    rows = [{"image": f"pictures/{c}.png", "captions": [f"a {c} wall"]} for c in ("red", "green", "blue")]
    rows.append({"image": "pictures/none.png", "captions": ["nothing"]})
    pairs = write_text(folder.parent / "captions.jsonl", "\n".join(map(json.dumps, rows)))
    done = clew("eval", pairs, "--json")
    assert done.exit_code == 0
    result = json.loads(done.stdout)
    assert list(result) == ["text_to_image", "image_to_text", "space", "pairs", "pictures"]
    assert list(result["text_to_image"]) == [
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
    assert (result["pairs"], result["space"], result["text_to_image"]["recall@5"]) == (3, "builtin", 100)
    assert "none.png: file not found" in done.stderr
    assert "text to image" in clew("eval", pairs).stdout


def test_one_caption_per_line_equals_a_list_of_captions(clew, folder):
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
def test_error_in_a_captions_file_has_the_line(clew, tmp_path, text):
    done = clew("eval", write_text(tmp_path / "c.jsonl", text))
    assert done.exit_code == 2
    assert "line 1" in done.stderr or "is empty" in done.stderr


def test_help_shows_examples_and_version_shows_the_name(clew):
    assert "clew index ~/Pictures" in clew("--help").stdout
    assert max(map(len, clew("--help").stdout.splitlines())) <= 80
    assert "clew, version" in clew("--version").stdout


def test_terminal_links_paths_and_a_pipe_has_no_escapes(indexed, folder):
    output = raw_terminal_output(["search", "red", "-k", 1], folder.parent, NO_COLOR="")
    assert f";{(folder / 'red.png').as_uri()}\x1b\\" in output
    assert "\x1b" not in indexed("search", "red").stdout


def test_terminal_shows_a_table_of_one_line_per_hit(indexed, folder):
    draw_image(folder / ("long " * 30 + "name\n.png"), (200, 10, 10))
    indexed("index")
    header, *lines = run_in_terminal(["search", "a red wall"], folder.parent).splitlines()
    assert header.split() == ["#", "id", "match", "score", "kind", "path", "text"]
    assert len(lines) == 8  # red.png by its caption, and seven images
    assert [line for line in lines if "pictures/red.png" in line]
    assert [line for line in lines if "…" in line and "name\\n.png" in line]
    assert max(map(len, [header, *lines])) <= 80


def test_closed_pipe_is_not_an_error(indexed, folder):
    command = f"{sys.executable} -c 'from indexer.cli.main import main; main()' search red --nl | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=folder)
    assert json.loads(done.stdout)
    assert done.stderr == ""


def test_control_characters_are_escaped():
    assert one_line("a\tb\nc") == "a\\tb\\nc"
    assert one_line("a\\b\x1b[31m") == "a\\b\\x1b[31m"
    assert printable("a\x1b[31m\udce9é") == "a\\x1b[31m\\udce9é"


def test_shares_have_a_space_before_the_percent_sign(indexed):
    explained = indexed("search", "a red wall", "--why").stdout
    assert "100 %  " in explained and "100 %  of the words" in explained
    weak = indexed("search", "tax return form").stderr
    assert "the minimum 75 %" in weak or "Nothing found" in weak
    assert "%)" not in indexed("tag", "red wall", "--at-least", "0").stdout.replace(" %)", "")
    assert not [word for word in explained.split() if word.endswith("%") and word != "%"]
