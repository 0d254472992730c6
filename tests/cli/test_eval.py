"""`clew eval` on captions, golden queries and labels, its comparison and its plot."""

import json
import os
import shutil
import sys

import pytest
from PIL import Image

from indexer import evaluate, evaluate_golden, evaluate_labels, switch_library, update_library
from indexer.evaluation.measurement import compare
from retrieval.errors import EvaluationError, LibraryError
from tests.support.files import draw_image, requires_non_utf8_names, write_text
from tests.support.toy_embedder import ToyEmbedder


@pytest.fixture
def golden(tmp_path, place, toy, library):
    """Return a function that evaluates golden queries on the toy library."""

    def evaluate_rows(*rows, **options):
        file = write_text(tmp_path / "golden.jsonl", "\n".join(map(json.dumps, rows)))
        return evaluate_golden(file, library=place, **{"embedder": toy, **options})

    return evaluate_rows


def test_golden_query_has_the_metrics_of_its_hits(golden):
    done = golden(
        {"query": "red", "relevant": ["pictures/red.png"]},
        {"query": "blue", "relevant": ["green.png", "cyan.png"], "kind": "image"},
    )
    first, second = (answer.metrics for answer in done.answers)
    assert (first["recall@1"], first["mrr"], first["map"], first["median_rank"]) == (100, 1, 1, 1)
    # Ranks: blue; cyan and magenta tied; white; yellow; green and red tied.
    assert (second["recall@1"], second["recall@5"], second["median_rank"]) == (0, 100, 2.5)
    assert second["mrr"] == pytest.approx((1 / 2 + 1 / 3) / 2, abs=1e-4)
    assert second["map"] == pytest.approx(((1 / 2 + 1 / 3) / 2 + (2 / 6 + 2 / 7) / 2) / 2, abs=1e-4)
    assert (second["precision@10"], second["true_recall@10"]) == (0.2, 100)
    assert done.mean["recall@1"] == 50
    assert done.space == "toy"


def test_tied_hits_share_their_ranks(golden, folder, index):
    draw_image(folder / "wide.png", "red", size=(48, 16))
    index(folder)
    (answer,) = golden({"query": "red", "relevant": ["wide.png"]}).answers
    assert (answer.metrics["recall@1"], answer.metrics["recall@5"]) == (50, 100)
    assert (answer.metrics["mrr"], answer.metrics["median_rank"]) == (0.75, 1.5)


def test_copies_and_captions_of_relevant_files_are_relevant(golden, folder, index):
    shutil.copy(folder / "red.png", folder / "copy.png")
    write_text(folder / "cyan.txt", "yellow")
    index(folder)
    done = golden(
        {"query": "red", "relevant": ["copy.png"]},
        {"query": "yellow", "relevant": ["cyan.txt"], "kind": ["text"]},
        {"query": "yellow", "relevant": ["cyan.png"], "kind": "text"},
    )
    assert [answer.metrics["median_rank"] for answer in done.answers] == [1, 1, 1]
    assert not any(answer.missing for answer in done.answers)


def test_relevant_files_missing_from_the_library_count_as_missed(golden):
    done = golden({"query": "red", "relevant": ["red.png", "none.png"]}, {"query": "red", "relevant": ["no"]})
    first, second = done.answers
    assert (first.missing, second.missing) == (("none.png",), ("no",))
    assert (first.metrics["true_recall@10"], first.metrics["map"]) == (50, 0.5)
    assert (second.metrics["median_rank"], second.metrics["recall@10"]) == (None, 0)


def test_irrelevant_hits_are_reported_with_their_ranks(golden):
    rows = [
        {"query": "red", "relevant": ["red.png"], "not_relevant": ["red.png"]},
        {"query": "red", "relevant": ["red.png"], "not_relevant": ["cyan.png"], "k": 2},
        {"query": "red", "relevant": ["red.png"]},
    ]
    done = golden(*rows)
    assert [dict(answer.wrong) for answer in done.answers] == [{"red.png": 1}, {}, {}]
    assert [answer.metrics["clean@10"] for answer in done.answers] == [0, 1, None]
    assert done.mean["clean@10"] == 0.5


def test_k_limits_the_hits_of_a_golden_query(golden):
    default = golden({"query": "red", "relevant": ["cyan.png"]})
    limited = golden({"query": "red", "relevant": ["cyan.png"], "k": 3})
    assert default.mean["true_recall@10"] == 100
    assert limited.mean["true_recall@10"] == 0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"query": "red"}, "relevant must be a list"),
        ({"query": "red", "relevant": "red.png"}, "relevant must be a list"),
        ({"query": "red", "relevant": []}, "at least one path"),
        ({"query": "red", "relevant": ["a\0b"]}, "relevant must be a list"),
        ({"query": "red", "relevant": ["\ud800"]}, "relevant must be a list"),
        ({"query": 3, "relevant": ["red.png"]}, "expected"),
        ({"query": "red", "relevant": ["red.png"], "kind": "none"}, "kind 'none'"),
        ({"query": "red", "relevant": ["red.png"], "k": 0}, "1 or more"),
        ({"query": "red", "relevant": ["red.png"], "relevnt": []}, "unknown key 'relevnt'"),
        ({"query": " ", "relevant": ["red.png"]}, "query is empty"),
    ],
)
def test_invalid_golden_query_is_refused_with_file_and_line(golden, row, message):
    with pytest.raises(EvaluationError, match=rf"golden\.jsonl, line 2: .*{message}"):
        golden({"query": "red", "relevant": ["red.png"]}, row)


class SwappedEmbedder(ToyEmbedder):
    """A model that confuses red with blue."""

    name, fingerprint = "crossed", "crossed-1"

    def embed_texts(self, texts):
        return super().embed_texts(texts)[:, ::-1]


def test_golden_queries_compare_two_spaces_of_a_library(golden, place, folder, toy):
    colors = ("red", "green", "blue", "yellow")
    for number, color in enumerate(colors):  # color names would be found by keyword
        (folder / f"{color}.png").rename(folder / f"{number}.png")
    update_library(library=place, embedder=toy)
    rows = [{"query": color, "relevant": [f"{number}.png"]} for number, color in enumerate(colors)]
    switch_library("crossed", library=place, embedder=SwappedEmbedder())
    old = golden(*rows, space="toy")
    new = golden(*rows, space="crossed", embedder=SwappedEmbedder())
    assert (old.mean["recall@1"], new.mean["recall@1"]) == (100, 25)
    differences = compare(old.measured["golden"], new.measured["golden"])
    assert differences["recall@1"].mean == -75
    assert differences["recall@1"].low == -100
    with pytest.raises(LibraryError, match="no space none"):
        golden(*rows, space="none")


def label(folder, name, color, file, caption=None):
    image = draw_image(folder / name / file, color)
    if caption:
        write_text(image.with_suffix(".txt"), caption)


def test_labels_are_evaluated_with_precision_recall_and_confusions(tmp_path, toy):
    folder = tmp_path / "labels"
    for name, color in (("red", "red"), ("red", "green"), ("green", "green"), ("blue", "blue")):
        label(folder, name, color, f"{color}.png")
    write_text(folder / "blue" / "note.txt", "blue")
    (folder / "green" / "broken.png").write_bytes(b"not an image")
    done = evaluate_labels(folder, embedder=toy)
    assert (done.accuracy, done.top5_accuracy, done.examples) == (0.8, None, 5)
    assert (done.pictures, done.texts) == (4, 1)
    rows = {row.label: (row.count, row.precision, row.recall, row.f1) for row in done.labels}
    assert rows == {"red": (2, 1, 0.5, 0.6667), "green": (1, 0.5, 1, 0.6667), "blue": (2, 1, 1, 1)}
    assert done.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 1) / 3, abs=1e-4)
    (confusion,) = done.confusions
    assert (confusion.truth, confusion.said, confusion.count) == ("red", "green", 1)
    assert [failure.path.name for failure in done.failures] == ["broken.png"]


def test_weight_of_an_image_against_its_captions_decides_the_label(tmp_path, toy):
    label(tmp_path, "red", "green", "a.png", caption="red")
    label(tmp_path, "green", "green", "b.png")
    label(tmp_path, "light_blue", "blue", "c.png", caption="blue")
    accuracy = {
        weight: evaluate_labels(tmp_path, embedder=toy, weight=weight).accuracy for weight in (0, 0.5, 1)
    }
    assert accuracy[0] == 1
    assert accuracy[1] == round(2 / 3, 4)
    with pytest.raises(EvaluationError, match="from 0 to 1"):
        evaluate_labels(tmp_path, embedder=toy, weight=2)


def test_top5_accuracy_is_measured_for_more_than_five_labels(folder, tmp_path, toy):
    for path in sorted(folder.iterdir()):
        label(tmp_path / "labels", path.stem, path.stem, "a.png")
    done = evaluate_labels(tmp_path / "labels", embedder=toy)
    assert (done.accuracy, done.top5_accuracy) == (1, 1)
    assert len(done.measured["labels"].curve) == 7


def test_folder_without_labels_is_refused_with_a_reason(tmp_path, toy):
    with pytest.raises(EvaluationError, match="at least two"):
        evaluate_labels(tmp_path, embedder=toy)
    with pytest.raises(EvaluationError, match="not a folder"):
        evaluate_labels(tmp_path / "none", embedder=toy)
    for name in ("red", "blue"):
        (tmp_path / name).mkdir()
    with pytest.raises(EvaluationError, match="they are empty"):
        evaluate_labels(tmp_path, embedder=toy)


@pytest.fixture
def pairs(folder):
    rows = [{"image": f"pictures/{c}.png", "captions": [f"a {c} wall"]} for c in ("red", "green", "blue")]
    return write_text(folder.parent / "captions.jsonl", "\n".join(map(json.dumps, rows)))


def test_captions_compare_two_models(pairs, toy):
    old, new = evaluate(pairs, embedder=toy), evaluate(pairs, embedder=SwappedEmbedder())
    differences = compare(old.measured["text_to_image"], new.measured["text_to_image"])
    assert differences["recall@1"].mean == pytest.approx(100 * (1 / 3 - 1))


def test_against_adds_both_results_and_their_differences(clew, pairs):
    done = json.loads(clew("eval", pairs, "--against", "builtin", "--json").stdout)
    assert done["against"]["text_to_image"] == done["text_to_image"]
    assert done["differences"]["image_to_text"]["mrr"] == {"mean": 0, "low": 0, "high": 0}
    assert "median_rank" not in done["differences"]["image_to_text"]
    table = clew("eval", pairs, "--against", "builtin").stdout
    assert "against builtin" in table
    assert "95 % interval" in table


@pytest.fixture
def indexed(clew, folder):
    assert clew("index", folder, "--model", "builtin").exit_code == 0
    return clew


def test_golden_queries_with_minimums_are_a_regression_suite(indexed, folder):
    rows = [{"query": "a red wall", "relevant": ["red.png", "none.png"], "not_relevant": ["green.png"]}]
    suite = write_text(folder.parent / "golden.jsonl", "\n".join(map(json.dumps, rows)))
    done = json.loads(indexed("eval", suite, "--json").stdout)
    assert list(done) == ["mean", "space", "queries"]
    (query,) = done["queries"]
    assert (query["query"], query["missing"], list(query["wrong"])) == (
        "a red wall",
        ["none.png"],
        ["green.png"],
    )
    assert query["true_recall@10"] == done["mean"]["true_recall@10"] == 50
    text = indexed("eval", suite).stdout
    assert "not in the library: none.png" in text
    assert indexed("eval", suite, "--at-least", "true_recall@10=50").exit_code == 0
    low = indexed("eval", suite, "--at-least", "true_recall@10=50", "--at-least", "true_recall@10=60")
    assert (low.exit_code, low.stderr) == (1, "true_recall@10 is 50, less than 60.\n")
    assert low.stdout == text
    for invalid in ("mrr", "mrr=x", "mr=1"):
        refused = indexed("eval", suite, "--at-least", invalid)
        assert (refused.exit_code, refused.stdout) == (2, "")
    assert indexed("eval", suite, "--arch", "ViT-B-32").exit_code == 2


def test_minimum_applies_to_both_directions_unless_it_names_one(clew, pairs):
    assert clew("eval", pairs, "--at-least", "recall@5=100").exit_code == 0
    assert clew("eval", pairs, "--at-least", "text_to_image.recall@5=100").exit_code == 0
    low = clew("eval", pairs, "--at-least", "precision@10=0.5")
    assert low.exit_code == 1
    assert [line.partition(" ")[0] for line in low.stderr.splitlines()] == [
        "text_to_image.precision@10",
        "image_to_text.precision@10",
    ]


def test_command_evaluates_labels(clew, folder, tmp_path):
    for path in folder.iterdir():
        label(tmp_path / "labels", path.stem, path.stem, "a.png", caption=f"a {path.stem} wall")
    done = json.loads(clew("eval", "--labels", tmp_path / "labels", "--weight", 0, "--json").stdout)
    assert (done["accuracy"], done["examples"], done["weight"]) == (1, 7, 0)
    assert done["labels"]["red"] == {"count": 1, "precision": 1, "recall": 1, "f1": 1}
    table = clew("eval", "--labels", tmp_path / "labels", "--weight", 0).stdout
    assert table.startswith("7 examples (7 pictures, 7 texts), 7 labels, builtin")
    assert clew("eval").exit_code == 2
    assert clew("eval", folder, "--weight", 0.5).exit_code == 2


def test_plot_draws_the_curves(clew, pairs, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    assert clew("eval", pairs, "--plot", "curves.png", "--against", "builtin").exit_code == 0
    with Image.open(tmp_path / "curves.png") as plot:
        assert plot.width > plot.height > 400
        assert len(plot.convert("RGB").getcolors(1_000_000)) > 50
    assert clew("eval", pairs, "--plot", "curves.svg").exit_code == 0
    assert "<svg" in (tmp_path / "curves.svg").read_text()
    for invalid in ("curves.txt", "none/curves.png"):
        done = clew("eval", pairs, "--plot", invalid)
        assert (done.exit_code, done.stdout) == (2, "")
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it were not installed
    missing = clew("eval", pairs, "--plot", "curves.png")
    assert missing.exit_code == 2
    assert 'pip install "clew-search[plot]"' in missing.stderr


def test_file_of_unknown_form_is_refused_with_both_forms(clew, tmp_path):
    done = clew("eval", write_text(tmp_path / "x.jsonl", '{"picture": "a.png"}'))
    assert done.exit_code == 2
    assert "line 1" in done.stderr
    assert '"query"' in done.stderr
    assert '"captions"' in done.stderr


@requires_non_utf8_names
def test_label_name_need_not_be_utf8(tmp_path, toy):
    label(tmp_path, "red", "red", "a.png")
    label(tmp_path, os.fsdecode(b"blue \xe9"), "blue", "b.png")
    done = evaluate_labels(tmp_path, embedder=toy)
    assert (done.accuracy, [row.label for row in done.labels]) == (1, ["blue \udce9", "red"])
