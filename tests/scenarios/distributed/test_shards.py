"""Shards are the same however they were made, and a run that was killed resumes."""

import os
import signal
import subprocess
import sys

import pytest

from indexer import ShardOptions, embed_shards
from indexer.distributed.shard_file import read_shard
from retrieval.errors import LibraryError, QueryError
from tests.support.archive_files import small_png, write_archive
from tests.support.catalog import REPOSITORY_ROOT
from tests.support.files import draw_image, write_text
from tests.support.shards import DEADLY, DeadlyEmbedder, draw_media, shard_hashes
from tests.support.toy_embedder import CountingToyEmbedder, RotatedToyEmbedder, ToyEmbedder

FOUR = ShardOptions(files_per_shard=4)


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    return draw_media(tmp_path_factory.mktemp("media"))


@pytest.fixture(scope="module")
def reference(media, tmp_path_factory):
    """Return the hashes of the files that a run in this process writes."""
    out = tmp_path_factory.mktemp("reference") / "shards"
    result = embed_shards(media, out, embedder=ToyEmbedder(), options=FOUR)
    assert (result.shards, result.known, result.files, result.failed) == (4, 0, 13, 1)
    return shard_hashes(out)


def files_of(out):
    """Return path -> error of the files in the shards of a folder."""
    return {
        read.entry.path.decode(): read.error
        for path in sorted(out.glob("*.parquet"))
        for read in read_shard(path)
    }


def test_bad_file_costs_one_file_and_captions_in_tars_belong_to_images(media, tmp_path):
    embed_shards(media, tmp_path / "out", embedder=ToyEmbedder(), options=FOUR)
    found = files_of(tmp_path / "out")
    assert len(found) == 13
    assert [(name, error[:7]) for name, error in found.items() if error] == [("bad.png", "damaged")]
    (archive,) = (tmp_path / "out").glob("00000000-*")
    members = {read.entry.path: read for read in read_shard(archive)}
    assert sorted(members) == [b"00000.tar/000.png", b"00000.tar/000.txt", b"00000.tar/001.png"]
    assert members[b"00000.tar/000.txt"].entry.sidecar_of == b"00000.tar/000.png"
    assert [draft.text for draft in members[b"00000.tar/000.txt"].decoded.drafts] == ["red"]


def test_processes_write_the_shards_of_a_single_process(media, reference, tmp_path):
    options = ShardOptions(files_per_shard=4, workers=2)
    embed_shards(media, tmp_path / "out", embedder=ToyEmbedder(), options=options)
    assert shard_hashes(tmp_path / "out") == reference


def test_second_run_embeds_nothing(media, reference, tmp_path):
    counting = CountingToyEmbedder()
    embed_shards(media, tmp_path / "out", embedder=counting, options=FOUR)
    assert counting.image_count == 9
    result = embed_shards(media, tmp_path / "out", embedder=counting, options=FOUR)
    assert (result.shards, result.known, counting.image_count) == (0, 4, 9)
    assert shard_hashes(tmp_path / "out") == reference


def test_torn_and_temporary_files_are_replaced(media, reference, tmp_path):
    out = tmp_path / "out"
    embed_shards(media, out, embedder=ToyEmbedder(), options=FOUR)
    first, second, *_ = sorted(out.glob("*.parquet"))
    first.write_bytes(first.read_bytes()[:-9])
    second.rename(out / f".clew-tmp-{second.name}-x")
    result = embed_shards(media, out, embedder=ToyEmbedder(), options=FOUR)
    assert (result.shards, result.known) == (2, 2)
    assert shard_hashes(out) == reference


def test_run_that_resumes_keeps_its_list_of_files(media, tmp_path):
    folder, out = draw_media(tmp_path / "media"), tmp_path / "out"
    embed_shards(folder, out, embedder=ToyEmbedder(), options=FOUR)
    before = shard_hashes(out)
    draw_image(folder / "a.png")
    assert embed_shards(folder, out, embedder=ToyEmbedder(), options=FOUR).known == 4
    assert shard_hashes(out) == before


@pytest.mark.parametrize(
    ("embedder", "options", "name"),
    [
        (RotatedToyEmbedder(), FOUR, "model, fingerprint"),
        (ToyEmbedder(), ShardOptions(), "files_per_shard"),
        (ToyEmbedder(), ShardOptions(files_per_shard=4, thumbnails=False), "thumbnails"),
    ],
)
def test_folder_of_a_run_with_other_settings_is_refused(embedder, options, name, media, tmp_path):
    embed_shards(media, tmp_path, embedder=ToyEmbedder(), options=FOUR)
    with pytest.raises(QueryError, match=rf"other settings \({name}\)"):
        embed_shards(media, tmp_path, embedder=embedder, options=options)


def test_sources_that_do_not_exist_or_have_no_files_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(LibraryError, match="not found"):
        embed_shards(tmp_path / "none", tmp_path / "out", embedder=ToyEmbedder())
    with pytest.raises(QueryError, match="no file"):
        embed_shards(tmp_path / "empty", tmp_path / "out", embedder=ToyEmbedder())


def start(media, out, workers):
    """Start a run in another process group; return it when it embeds."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.support.shards", str(media), str(out), str(workers)],
        cwd=REPOSITORY_ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert child.stdout.readline() == "go\n"
    return child


@pytest.mark.parametrize(
    ("workers", "steps"), [(0, (1, 3)), pytest.param(2, (0, 1, 2, 2, 3), marks=pytest.mark.large)]
)
def test_run_that_is_killed_resumes_with_the_same_shards(workers, steps, media, reference, tmp_path):
    for count in steps:
        child = start(media, tmp_path, workers)
        for _ in range(count):
            child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)  # workers end by themselves
        child.communicate(timeout=60)
        complete = {name: hash_ for name, hash_ in shard_hashes(tmp_path).items() if not name.startswith(".")}
        assert complete.items() <= reference.items()
    child = start(media, tmp_path, workers)
    assert child.communicate(timeout=120)[0].endswith("done\n")
    assert shard_hashes(tmp_path) == reference


def test_file_that_ends_its_worker_is_reported_and_the_others_are_embedded(tmp_path):
    draw_image(tmp_path / "media" / "0.png", "red")
    draw_image(tmp_path / "media" / "1.png", DEADLY)
    options = ShardOptions(workers=1, files_per_shard=1)
    result = embed_shards(tmp_path / "media", tmp_path / "out", embedder=DeadlyEmbedder(), options=options)
    assert (result.shards, result.files, result.failed) == (2, 2, 1)
    assert files_of(tmp_path / "out") == {"0.png": None, "1.png": "it ends the worker process"}


@pytest.mark.large
def test_member_of_an_archive_that_ends_its_worker_is_reported(tmp_path):
    members = {f"{number}.png": small_png((number, 9, 9)) for number in range(4)}
    write_archive(tmp_path / "media" / "a.tar", members | {"2.png": small_png(DEADLY)})
    options = ShardOptions(workers=1)
    result = embed_shards(tmp_path / "media", tmp_path / "out", embedder=DeadlyEmbedder(), options=options)
    assert (result.files, result.failed) == (4, 1)
    assert [name for name, error in files_of(tmp_path / "out").items() if error] == ["a.tar/2.png"]
    names = sorted(path.name.partition("-")[0] for path in (tmp_path / "out").glob("*.parquet"))
    assert names == ["00000000.0", "00000000.10", "00000000.11"]
    again = embed_shards(tmp_path / "media", tmp_path / "out", embedder=ToyEmbedder(), options=options)
    assert (again.shards, again.known) == (0, 3)
    (tmp_path / "out").joinpath(next((tmp_path / "out").glob("00000000.10*")).name).unlink()
    again = embed_shards(tmp_path / "media", tmp_path / "out", embedder=ToyEmbedder(), options=options)
    assert (again.shards, again.known) == (1, 2)


def test_built_in_model_gives_the_same_shards_in_two_processes(tmp_path):
    draw_image(tmp_path / "media" / "a.png", size=(300, 200))
    for number in range(16):  # the first texts of a process are embedded without onnxruntime
        write_text(tmp_path / "media" / f"{number:02}.md", f"A dog runs over {number} hills to the sea.")
    for name, workers in (("single", None), ("two", 2)):
        options = ShardOptions(workers=workers, files_per_shard=4)
        embed_shards(tmp_path / "media", tmp_path / name, model="builtin", options=options)
    assert shard_hashes(tmp_path / "single") == shard_hashes(tmp_path / "two")
