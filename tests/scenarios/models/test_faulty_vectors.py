"""Vectors that are NaN, infinite, zero or not of length 1 are refused with the name of the file."""

import json
import subprocess
import sys

import numpy as np
import pytest

from indexer import IndexOptions, switch_library, update_library
from retrieval import Library
from retrieval.errors import EmbedderError
from tests.support.catalog import REPOSITORY_ROOT
from tests.support.faulty_embedder import FAULTS, FaultyEmbedder, index_and_list
from tests.support.files import draw_image, write_text

REASONS = {
    "NaN": "NaN or infinite",
    "infinite": "NaN or infinite",
    "zero": "is zero",
    "length 2": "length 2, not 1",
}


@pytest.fixture
def media(tmp_path):
    """Return a folder whose images and texts in red have no unit vector."""
    folder = tmp_path / "media"
    for color in ("red", "green", "blue"):
        draw_image(folder / f"{color}.png", color)
    write_text(folder / "red.md", "red\n")
    write_text(folder / "long.md", "\n\n".join([*(["blue"] * 1_500), "red", *(["green"] * 1_200)]))
    write_text(folder / "green.md", "green\n")
    return folder


def check(result, fault):
    assert sorted(result["failures"]) == ["long.md", "red.md", "red.png"]
    assert all(REASONS[fault] in reason for reason in result["failures"].values())
    assert (result["added"], result["are_unit"]) == (3, True)


@pytest.mark.parametrize("fault", FAULTS)
def test_file_without_unit_vector_is_refused_and_others_are_indexed(fault, media, place):
    result = index_and_list(media, place, fault)
    check(result, fault)
    assert result["assertions"]


@pytest.mark.parametrize("fault", ["NaN", "length 2"])
def test_file_without_unit_vector_is_refused_without_assertions(fault, media, place):
    command = [sys.executable, "-O", "-m", "tests.support.faulty_embedder", str(media), str(place), fault]
    done = subprocess.run(command, cwd=REPOSITORY_ROOT, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    check(result, fault)
    assert not result["assertions"]


def test_refused_file_is_found_after_the_model_is_repaired(media, place, toy):
    index_and_list(media, place, "NaN")
    update_library([media], library=place, embedder=toy, options=IndexOptions(retry=True))
    with Library.open(place, embedder=toy) as library:
        assert library.failures() == []
        assert {hit.path.name for hit in library.search("red", count=2_800)} >= {
            "red.png",
            "red.md",
            "long.md",
        }
        assert len({hit.start for hit in library.search("red", kind="text", count=5_000)}) == 2_701


@pytest.mark.parametrize("fault", FAULTS)
def test_switch_to_a_model_that_fails_names_the_file(fault, folder, index, place):
    index(folder)
    faulty = FaultyEmbedder(fault)
    faulty.name = faulty.fingerprint = "faulty"
    with pytest.raises(EmbedderError, match=rf"red\.png: .*{REASONS[fault]}"):
        switch_library("faulty", library=place, embedder=faulty)


@pytest.mark.parametrize("fault", FAULTS)
def test_query_without_unit_vector_is_an_error(fault, folder, library, place):
    with Library.open(place, embedder=FaultyEmbedder(fault)) as opened:
        for query in ({"words": "red"}, {"image": folder / "red.png"}):
            with pytest.raises(EmbedderError, match=REASONS[fault]):
                opened.search(**query)
        assert np.isfinite([hit.score for hit in opened.search("blue")]).all()


def test_text_without_a_known_word_has_no_meaning_and_no_error(index, place, tmp_path):
    class Forgetful(FaultyEmbedder):
        def knows(self, text):
            return "red" not in text.split()

    write_text(tmp_path / "notes" / "red.md", "red\n")
    report = update_library([tmp_path / "notes"], library=place, embedder=Forgetful("zero"))
    assert (report.added, report.failed) == (1, 0)
