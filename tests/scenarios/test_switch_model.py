"""Another model for a library: the old one answers until the new one is whole, whatever happens."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from indexer import forget, index_folder, switch_library, update_library, verify_library
from indexer.maintenance.backfill_vectors import VectorPass
from indexer.operations.switch_model import Comparison
from retrieval import Library
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import CATALOG_FILE
from retrieval.errors import LibraryError, LibraryMissing, QueryError, SpaceMismatch
from tests.support.catalog import REPOSITORY_ROOT, committed_segments, downgrade_catalog
from tests.support.files import draw_image, write_text
from tests.support.toy_embedder import COLORS, RotatedToyEmbedder, ToyEmbedder, unit_rows


@pytest.fixture
def other():
    return RotatedToyEmbedder()


def switch(place, other, **how):
    return switch_library("other", library=place, embedder=other, **how)


def found(library):
    """Return what is found, by score and then by id, as equal scores may round apart."""
    return sorted((-round(hit.score, 3), hit.id, hit.path) for hit in library.search("red", count=10))


def test_a_switch_embeds_everything_anew_and_then_answers(folder, index, place, toy, other):
    write_text(folder / "notes.md", "red and blue")
    index(folder)
    with Library.open(place, embedder=toy) as library:
        before = found(library)
    done = switch(place, other)
    assert (done.old, done.new, done.embedded, done.waiting, done.answers) == ("toy", "other", 8, 0, True)
    with Library.open(place, embedder=other) as library:
        assert found(library) == before
        status = library.status()
        assert status.space.name == "other"
        assert status.spaces == {"toy": 8, "other": 8}
        assert {file.kind for file in status.space.indexes} == {"image", "text"}
        assert status.space.complete
    with Library.open(place, embedder=toy, space="toy") as library:
        assert found(library) == before
    assert verify_library(place).errors == []


def test_the_vectors_are_those_of_a_library_made_with_that_model(folder, index, place, other, tmp_path):
    write_text(folder / "red.txt", "red and green")
    index(folder)
    switch(place, other)
    index_folder(folder, library=tmp_path / "fresh", embedder=other).close()

    def vectors(library):
        catalog = Catalog.open(library)
        ids, rows = catalog.vectors_of(catalog.space(), range(99))
        hashes = dict(
            catalog.db.execute(
                "SELECT s.id, hex(c.hash) || s.ordinal FROM segments s JOIN contents c ON c.id = s.content"
            )
        )
        catalog.close()
        return {hashes[id_]: tuple(row) for id_, row in zip(ids.tolist(), rows.tolist(), strict=True)}

    assert vectors(place) == vectors(tmp_path / "fresh")


def test_a_picture_whose_pages_an_older_version_did_not_number_is_embedded_again(
    tmp_path, index, place, other
):
    pages = [Image.new("RGB", (24, 16), COLORS[name]) for name in ("red", "green")]
    (tmp_path / "pictures").mkdir()
    pages[0].save(tmp_path / "pictures" / "scan.tif", save_all=True, append_images=pages[1:])
    index(tmp_path / "pictures")
    with closing(sqlite3.connect(place / CATALOG_FILE)) as db, db:
        db.execute("DELETE FROM segments WHERE page = 2")
        db.execute("UPDATE segments SET page = NULL")
    done = switch(place, other)
    assert (done.embedded, done.waiting) == (1, 0)


def test_content_known_to_a_space_is_never_embedded_twice(folder, index, place, toy, other):
    index(folder)
    switch(place, other)
    assert other.embedded_count == 7
    draw_image(folder / "new.png", (9, 9, 9))
    update_library(library=place, embedder=other)
    assert other.embedded_count == 8
    back = switch_library("toy", library=place, embedder=toy)
    assert (back.embedded, back.answers) == (1, True)
    assert switch(place, other).embedded == 0
    assert other.embedded_count == 8


def test_a_text_too_long_for_the_new_model_is_the_mean_of_its_parts(tmp_path, place, toy, other):
    write_text(tmp_path / "folder" / "long.md", "red red red red green green")
    update_library([tmp_path / "folder"], library=place, embedder=toy)
    switch(place, other)
    with Library.open(place, embedder=other) as library:
        (hit,) = library.search("red")
    parts = np.roll(unit_rows([(1020, 0, 0), (0, 510, 0)]), 1, axis=1)
    mean = parts.sum(axis=0) / np.linalg.norm(parts.sum(axis=0))
    query = np.roll(unit_rows([(255, 0, 0)]), 1, axis=1)[0]
    assert hit.score == pytest.approx(float(mean @ query), abs=1e-3)


def test_ctrl_c_leaves_the_old_space_and_the_next_call_goes_on(folder, index, place, toy, other, monkeypatch):
    index(folder)
    monkeypatch.setattr(VectorPass, "batch_size", 2)
    calls = []

    def stop(name, done, total):
        calls.append((name, done, total))
        if len(calls) == 2:
            raise KeyboardInterrupt

    done = switch(place, other, progress=stop)
    assert (done.interrupted, done.answers) == (True, False)
    assert calls == [("other", 2, 7), ("other", 4, 7)]
    with Library.open(place, embedder=toy) as library:
        assert library.status().space.name == "toy"
        assert library.search("red", count=1)[0].path.name == "red.png"
        assert library.status().spaces["other"] == 4
    assert update_library(library=place, embedder=toy).unchanged == 7
    assert switch(place, other).embedded == 3


def test_files_that_are_away_get_their_vectors_when_they_are_back(folder, index, place, toy, other):
    write_text(folder / "red.txt", "red")
    index(folder)
    folder.rename(folder.with_name("away"))
    done = switch(place, other)
    assert (done.embedded, done.waiting, done.answers) == (1, 7, True)
    with Library.open(place, embedder=other) as library:
        assert not library.status().space.complete
        assert [hit.text for hit in library.search("red")] == ["red"]
    assert verify_library(place).errors == []
    folder.with_name("away").rename(folder)
    report = update_library(library=place, embedder=other)
    assert report.segments == 7
    with Library.open(place, embedder=other) as library:
        assert library.status().space.complete
        assert len(library.search("red", kind="image", count=10)) == 7


def test_a_file_that_is_another_now_waits_for_the_next_scan(folder, index, place, other):
    index(folder)
    draw_image(folder / "red.png", (1, 2, 3))
    assert switch(place, other).waiting == 1
    assert update_library(library=place, embedder=other).updated == 1


def test_comparing_shows_both_and_swaps_nothing(folder, index, place, toy, other, monkeypatch):
    index(folder)
    monkeypatch.setattr("retrieval.embedders.registry.load_embedder", lambda name, fingerprint: toy)
    done = switch(place, other, compare=["red", "blue"])
    assert (done.embedded, done.answers) == (7, False)
    for words, found in zip(("red", "blue"), done.comparisons, strict=True):
        assert found.query == words
        assert found.overlap == 1
        assert [hit.space for hit in (found.old[0], found.new[0])] == ["toy", "other"]
        assert found.old[0].path == found.new[0].path == folder / f"{words}.png"
    assert Library.open(place, embedder=toy).status().space.name == "toy"
    with pytest.raises(QueryError, match="empty"):
        switch(place, other, compare=["red", " "])


def test_overlap_is_the_share_of_what_both_have(library):
    hits = library.search("red", count=4)
    assert Comparison("red", tuple(hits), tuple(hits[2:])).overlap == 0.5
    assert Comparison("red", (), ()).overlap == 0


def test_many_that_were_away_are_found_once_they_are_back(tmp_path, place, toy, other):
    """More than are compared one by one: they are older than what the index reaches."""
    for number in range(700):
        draw_image(
            tmp_path / "folder" / str(number % 2) / f"{number}.png", (number % 256, number // 3, 90), (4, 4)
        )
    update_library([tmp_path / "folder"], library=place, embedder=toy)
    (tmp_path / "folder" / "0").rename(tmp_path / "away")
    assert switch(place, other).waiting == 350
    (tmp_path / "away").rename(tmp_path / "folder" / "0")
    update_library(library=place, embedder=other)
    with Library.open(place, embedder=other) as library:
        assert len({hit.path for hit in library.search("red", count=700)}) == 700
        assert sum(file.count for file in library.status().space.indexes) + library.status().tail == 700


def test_a_text_of_which_the_new_model_reads_nothing_stops_no_switch(tmp_path, place, toy):
    class Deaf(RotatedToyEmbedder):
        def count_tokens(self, text):
            return 0 if "odd" in text else len(text.split())

        def embed_texts(self, texts):
            assert all(self.count_tokens(text) for text in texts)
            return super().embed_texts(texts)

    write_text(tmp_path / "folder" / "notes.md", "odd\n\nred")
    update_library([tmp_path / "folder"], library=place, embedder=toy)
    done = switch(place, Deaf())
    assert (done.embedded, done.waiting) == (2, 0)
    assert verify_library(place).errors == []


def test_a_space_is_forgotten_but_never_the_one_that_answers(folder, index, place, toy, other):
    index(folder)
    switch(place, other)
    with pytest.raises(LibraryError, match="is the active space"):
        forget(library=place, space="other")
    with pytest.raises(LibraryError, match="Its spaces: toy, other"):
        forget(library=place, space="nix")
    assert len(list((place / "indexes").iterdir())) == 2
    forget(library=place, space="toy")
    assert len(list((place / "indexes").iterdir())) == 1
    with Library.open(place, embedder=other) as library:
        assert library.status().spaces == {"other": 7}
        assert len(library.search("red", count=10)) == 7
    assert verify_library(place).errors == []


def test_purging_leaves_no_vector_in_any_space(folder, index, place, other):
    index(folder)
    switch(place, other)
    (folder / "red.png").unlink()
    update_library(library=place, embedder=other)
    assert forget(library=place, purge=True) == (0, 1)
    with Library.open(place, embedder=other) as library:
        assert library.status().spaces == {"toy": 6, "other": 6}


def test_an_open_library_follows_a_switch(folder, place, monkeypatch):
    toys = {toy.fingerprint: toy for toy in (ToyEmbedder(), RotatedToyEmbedder())}
    monkeypatch.setattr(
        "retrieval.embedders.registry.load_embedder", lambda name, fingerprint: toys[fingerprint]
    )
    with index_folder(folder, library=place, embedder=ToyEmbedder()):
        pass
    with Library.open(place) as library:
        assert library.search("red", count=1)[0].space == "toy"
        switch(place, RotatedToyEmbedder())
        assert library.search("red", count=1)[0].space == "other"
        assert library.embedder.name == "other"


def test_a_library_of_the_first_version_is_brought_up_to_date(folder, index, place, toy):
    index(folder)
    downgrade_catalog(place, "1-library")
    with pytest.raises(LibraryError, match="to upgrade it"):
        Library.open(place)
    assert index(folder).unchanged == 7
    with Library.open(place, embedder=toy) as library:
        assert library.status().space.complete


def test_there_must_be_a_library_and_a_space_must_be_there(place, other, folder, index):
    with pytest.raises(LibraryMissing):
        switch(place, other)
    index(folder)
    with pytest.raises(LibraryError, match="has no space nix"), Library.open(place, space="nix") as library:
        library.search("red")
    with pytest.raises(SpaceMismatch), Library.open(place, space="toy", embedder=other) as library:
        library.search("red")


CHILD = """
import sys
from indexer import switch_library
from indexer.maintenance.backfill_vectors import VectorPass
from tests.support.toy_embedder import RotatedToyEmbedder
VectorPass.batch_size = 8
print("go", flush=True)
switch_library("other", library=sys.argv[1], embedder=RotatedToyEmbedder())
"""


@pytest.mark.parametrize("kills", [8, pytest.param(25, marks=pytest.mark.large)])
def test_a_switch_killed_anywhere_leaves_the_old_space_answering(kills, busy, tmp_path):
    update_library([busy], library=tmp_path / "whole", embedder=ToyEmbedder())
    segments = committed_segments(tmp_path / "whole")
    with Library.open(tmp_path / "whole", embedder=ToyEmbedder()) as library:
        hits = library.search("red 6", count=50)
    draws, midway, number = np.random.default_rng(4), 0, 0
    while number < kills or (not midway and number < 5 * kills):
        place, number = tmp_path / f"killed-{number % 5}", number + 1
        if not place.exists():
            shutil.copytree(tmp_path / "whole", place)
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(place)], cwd=REPOSITORY_ROOT, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout.readline() == "go\n"
        time.sleep(draws.uniform(0, 0.6))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert verify_library(place).errors == []
        with Library.open(place, embedder=ToyEmbedder(), space="toy") as library:
            status = Library.open(place).status()
            midway += 0 < status.spaces.get("other", 0) < len(segments)
            assert status.space.name == "toy" or status.spaces["other"] == len(segments)
            assert library.search("red 6", count=50) == hits
        if status.space.name == "other":
            shutil.rmtree(place)
    assert midway
    place = tmp_path / "killed-0"
    if place.exists():
        switch(place, RotatedToyEmbedder())
        assert Library.open(place).status().spaces["other"] == len(segments)


def test_the_command_switches_and_compares(clew, folder, tmp_path):
    from tests.support.model_checkpoints import make_checkpoint, register_architectures

    (tmp_path / "architectures").mkdir()
    register_architectures(tmp_path / "architectures")
    path = make_checkpoint("small-vit", tmp_path / "weights")
    assert clew("index", folder, "--model", "builtin").exit_code == 0
    done = clew("switch", path, "--arch", "small-vit", "--compare", "red", "--compare", "a blue thing")
    assert done.exit_code == 0, done.output
    assert "7 of 7 in both (overlap@10 1.00)" in done.stdout
    assert "7 segments embedded" in done.stdout
    assert "still use builtin" in done.stdout
    assert all(len(line) <= 80 or "weights" in line for line in done.stdout.splitlines())
    assert "Model    builtin" in clew("status").stdout
    compared = json.loads(clew("switch", path, "--compare", "red", "--json").stdout)
    assert (compared["embedded"], compared["answers"]) == (0, False)
    assert compared["compare"][0]["overlap@10"] == 1
    assert len(compared["compare"][0]["new"]) == 7
    assert "`clew forget --space builtin` deletes" in clew("switch", path).stdout
    assert f"Model    {path}" in clew("status").stdout
    assert "Unused   builtin: 7 vectors" in clew("status").stdout
    assert json.loads(clew("search", "red", "--json").stdout)[0]["space"] == str(path)
    assert clew("forget", "--space", "builtin").stdout == "the vectors of builtin deleted.\n"
    assert "Unused" not in clew("status").stdout
    assert clew("switch", "nix").exit_code == 2
