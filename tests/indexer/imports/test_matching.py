"""Files of a source, their common folders, and the checks of vectors."""

import os

import numpy as np
import pytest

from indexer.imports.base import StoredImage
from indexer.imports.common_folders import common_folders
from indexer.imports.matching import match_files
from retrieval.embedders.base import vector_defect
from tests.support.files import draw_image, requires_non_utf8_names


class ListedSource:
    """A source of listed images, whose vectors are all the same."""

    program, model = "list", None

    def __init__(self, path, images):
        self.path, self._images = path, images

    def images(self):
        return iter(self._images)

    def vectors(self, rows):
        return [np.array([1, 0, 0], np.float32) for _ in rows]

    def close(self): ...


def touch(home, *names):
    paths = [home / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return [bytes(path) for path in paths]


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (["Pictures/2020/01/a.jpg", "Pictures/2021/b.jpg"], ["Pictures"]),
        (["Pictures/2020/01/a.jpg", "Pictures/2020/01/02/b.jpg"], ["Pictures/2020/01"]),
        (["Pictures/a.jpg", "Downloads/x/b.jpg"], ["Downloads/x", "Pictures"]),
        (["a.jpg", "Pictures/b.jpg"], ["Pictures"]),  # not the home folder
        (["a.jpg"], []),
    ],
)
def test_folders_of_a_home_are_the_innermost_of_each(names, folders, tmp_path):
    found = common_folders(touch(tmp_path, *names), tmp_path)
    assert found == [bytes(tmp_path / name) for name in folders]


def test_folder_above_the_home_folder_is_not_returned(tmp_path):
    files = touch(tmp_path, "me/Pictures/a.jpg", "you/Pictures/b.jpg", "c.jpg")
    assert common_folders(files, tmp_path / "me") == [
        bytes(tmp_path / "me" / "Pictures"),
        bytes(tmp_path / "you" / "Pictures"),
    ]
    assert common_folders([b"/c.jpg", b"/mnt/d.jpg"], tmp_path) == []


def test_folder_with_two_file_systems_is_not_returned(tmp_path, monkeypatch):
    files = touch(tmp_path, "media/usb1/x/a.jpg", "media/usb1/y/b.jpg", "media/usb2/c.jpg")
    disks = {bytes(tmp_path / "media" / name): device for device, name in enumerate(("usb1", "usb2"))}
    monkeypatch.setattr(
        "indexer.imports.common_folders._device",
        lambda folder: next((number for disk, number in disks.items() if folder.startswith(disk)), 9),
    )
    assert common_folders(files, tmp_path / "home") == [*disks]


def test_first_row_of_a_path_is_used(tmp_path):
    path = bytes(draw_image(tmp_path / "a.png"))
    source = ListedSource(tmp_path, [StoredImage(5, path), StoredImage(6, path)])
    matches = match_files(source, 3)
    assert (matches.files[path].row, matches.stored) == (5, 1)


@requires_non_utf8_names
def test_escaped_bytes_of_an_exported_path_are_restored(tmp_path):
    path = os.path.join(bytes(tmp_path), b"caf\xe9.png")
    draw_image(tmp_path / "x.png").rename(os.fsdecode(path))
    exported = os.fsdecode(path).encode("utf-8", "backslashreplace")
    matches = match_files(ListedSource(tmp_path, [StoredImage(0, exported)]), 3)
    assert list(matches.files) == [path]


def test_folders_and_paths_that_cannot_exist_are_missing(tmp_path):
    (tmp_path / "folder.png").mkdir()
    paths = [bytes(tmp_path / "folder.png"), b"/a\0b.png", b"/" + b"x" * 5000, b""]
    matches = match_files(ListedSource(tmp_path, [StoredImage(n, p) for n, p in enumerate(paths)]), 3)
    assert (len(matches.missing), matches.files) == (4, {})


def test_unit_vectors_of_16_bits_have_no_defect():
    random = np.random.default_rng(1)
    for dim in (3, 512, 1024):
        vector = random.normal(size=dim)
        vector /= np.linalg.norm(vector)
        assert vector_defect(vector.astype(np.float16).astype(np.float32), dim) is None


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        ([np.nan, 1, 0], "NaN"),
        ([np.inf, 0, 0], "infinite"),
        ([0, 0, 0], "zero"),
        ([1, 0], "2 numbers, not 3"),
        ([1.02, 0, 0], "length 1.02"),
        ([3e38, 3e38, 0], "length 4.24e+38"),
        ([], "0 numbers"),
    ],
)
def test_vector_that_is_not_a_unit_vector_of_the_model_has_a_reason(vector, reason):
    assert reason in vector_defect(np.array(vector, np.float32), 3)
