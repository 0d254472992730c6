"""The page of `clew status`."""

from dataclasses import replace
from pathlib import Path

import pytest

from retrieval.cli.status import describe_failures, describe_status
from retrieval.types import Failure, IndexFile, IndexTuning, Root, RunProgress, Space, Status

INDEX = IndexFile("image", "flat", "f", "d", 3_800, 7, 0, 1.0, "1", None)
SPACE = Space(1, "toy", "toy", "0123456789abcdef", 8, indexes=(INDEX,))


def lines(**fields) -> list[str]:
    return describe_status(Status(folder=Path("/lib"), **{"roots": (), **fields})).splitlines()


def test_empty_library_has_a_location_and_thumbnail_state():
    assert lines() == [
        "Library  /lib (0 B)",
        "Contents nothing yet",
        "Thumbs   off (`clew index --thumbnails 2GB` turns them on)",
    ]


def test_folders_have_counts_state_and_last_scan():
    root = Root(Path("/photos"), "offline", "2024-05-01T12:00:00", offline=3, failed=2)
    page = lines(roots=(root,))
    assert "Folder   /photos: 3 offline, 2 could not be read; the folder is not available now" in page
    assert "         last scanned 2024-05-01T12:00:00" in page
    assert page[-1] == "`clew status --errors` lists the files that could not be read, or only in part."


def test_folder_that_was_never_scanned_has_no_files():
    page = lines(roots=(Root(Path("/photos"), "present", None),))
    assert "Folder   /photos: 0 files" in page
    assert "         last scanned never" in page


def test_model_and_indexes_are_shown_with_vectors_outside_the_index():
    page = lines(space=SPACE, tail=1)
    assert "Model    toy, 8 dimensions, 0123456789ab" in page
    assert "Index    image: exact, 7 vectors, 3.8 kB" in page
    assert "         1 newer vector compared one by one" in page


def test_recall_and_speed_of_an_index_are_shown_for_words_and_for_images():
    graph = replace(INDEX, method="hnsw")
    page = lines(space=replace(SPACE, indexes=(graph,)))
    assert "Index    image: hnsw, 7 vectors, 3.8 kB, 543 bytes a vector" in page
    assert "         recall@10 1.000 when built; `clew tune` measures words and images" in page
    words, picture = IndexTuning("words", 64, 0.9912, 1.234, 2.5), IndexTuning("picture", 32, 0.9995, 0.5, 1)
    page = lines(space=replace(SPACE, indexes=(replace(graph, tunings=(words, picture)),)))
    assert "         for words: recall@10 0.991, 1.23 ms, 95 % within 2.50 ms" in page
    assert "         for images: recall@10 1.000, 0.50 ms, 95 % within 1.00 ms" in page
    page = lines(space=replace(SPACE, indexes=(replace(INDEX, tunings=(words, picture)),)))
    assert "Index    image: exact, 7 vectors, 3.8 kB, 1.23 ms a search" in page


def test_milvus_server_is_shown_with_the_changes_that_it_lacks():
    page = lines(space=SPACE, vectors_url="http://host:19530", published=1_200)
    assert "Server   http://host:19530: 1,200 vectors published" in page
    page = lines(space=SPACE, vectors_url="http://host:19530", published=1_200, unpublished=1)
    assert page[-2].endswith("1,200 vectors published, 1 change pending (`clew publish` sends them)")
    page = lines(space=SPACE, vectors_url="http://host:19530", published=1_200, unpublished=100_001)
    assert page[-2].endswith(
        "100,001 changes pending (`clew publish` sends them); until then searches use the index files"
    )


def test_vectors_of_other_models_are_listed_with_the_command_to_delete_them():
    page = lines(space=SPACE, spaces={"toy": 7, "old": 5})
    assert "Unused   old: 5 vectors (`clew forget --space` deletes them)" in page
    assert not [line for line in page if "toy: 7" in line]


def test_full_thumbnails_have_the_command_to_raise_the_limit():
    page = lines(thumbnails=1_000, thumbnail_limit=2_000, thumbnails_full=True)
    assert [line for line in page if line.startswith("Thumbs   1.0 kB of at most 2.0 kB; full")]


def test_kept_segments_have_the_command_to_purge_them():
    assert "         2 segments of deleted files, kept until `clew forget --purge`" in lines(kept=2)


def test_enabled_analyses_are_listed_with_their_models():
    page = lines(ocr=True, speech="small", sounds="clap")
    assert "Reads    text in images (OCR); speech, by small; sound events, by clap" in page


def test_failures_are_lines_of_path_and_reason():
    failures = [Failure(Path("/a\n.jpg"), "empty file")]
    assert describe_failures(failures, as_json=False) == "/a\\n.jpg\tempty file\n"


@pytest.mark.parametrize(
    ("run", "line"),
    [
        (
            RunProgress("/Pictures", 1_200, 4_000, 10.0, 280.0),
            "Indexing /Pictures: 1,200 of 4,000, 04:40 left",
        ),
        (RunProgress("/Pictures", 0, 4_000), "Indexing /Pictures: 0 of 4,000"),
        (RunProgress("/Pictures", 2_400, 0), "Indexing /Pictures: 2,400 files found so far"),
        (RunProgress("tiles", 1, 2), "Indexing tiles: 1 of 2"),
    ],
)
def test_run_of_another_process_is_one_line(run, line):
    assert line in lines(indexing=run)
