"""Clocks that are wrong or go back: nothing is missed, and nothing is embedded again."""

import os
import shutil

import pytest

from indexer import verify_library
from indexer.store.writer import LibraryWriter
from tests.scenarios.helpers import hit_names
from tests.support.files import draw_image

YEAR = 365.25 * 86_400
TIMES = {  # seconds since 1970; file systems store others as the nearest that they can
    "before 1970": -YEAR,
    "before 1901": -80 * YEAR,
    "1 ns before 1970": -1e-9,
    "1970": 0.0,
    "after 2038": 80 * YEAR,
    "after 2262": 330 * YEAR,
    "after 9999": 9_000 * YEAR,
}


def set_time(path, seconds: float) -> None:
    os.utime(path, ns=(0, round(seconds * 1e9)))


@pytest.mark.parametrize("name", TIMES)
def test_files_of_any_time_are_embedded_once_for_each_change(name, folder, index, place, toy):
    for path in folder.iterdir():
        set_time(path, TIMES[name])
    assert index(folder).added == 7
    count = toy.image_count
    report = index(folder)
    assert (report.unchanged, report.updated, toy.image_count) == (7, 0, count)
    draw_image(folder / "red.png", (250, 9, 9))
    draw_image(folder / "spare.png", (250, 9, 8)).rename(folder / "new.png")
    for path in (folder / "red.png", folder / "new.png"):
        set_time(path, TIMES[name])
    report = index(folder)
    assert (report.unchanged, report.updated, report.added, toy.image_count) == (6, 1, 1, count + 2)
    assert set(hit_names(place, toy, "red", count=2)) == {"red.png", "new.png"}


def test_run_after_the_clock_has_gone_back_misses_nothing(folder, index, place, toy):
    """The library and its files are from the future, and new changes are older than all of them."""
    index(folder)
    future, now = 4e9, 1e9
    for path in [*folder.iterdir(), *(path for path in place.rglob("*") if path.is_file())]:
        set_time(path, future)
    index(folder)
    with LibraryWriter(place) as writer, writer.db.atomic():
        writer.db.execute("UPDATE files SET ctime = ?", (int(future * 1e9),))
        writer.db.execute("UPDATE roots SET scanned = '2096-10-02 07:06:40'")
    count = toy.image_count
    draw_image(folder / "red.png", (250, 250, 9))
    draw_image(folder / "new.png", (250, 9, 250))
    for name in ("red.png", "new.png"):
        set_time(folder / name, now)
    (folder / "blue.png").rename(folder / "moved.png")
    shutil.copyfile(folder / "green.png", folder / "copy.png")
    set_time(folder / "copy.png", now)
    (folder / "white.png").unlink()
    report = index(folder)
    assert (report.added, report.updated, report.moved, report.gone) == (2, 1, 1, 1)
    assert (report.unchanged, toy.image_count) == (4, count + 2)
    report = index(folder)
    assert (report.unchanged, toy.image_count) == (8, count + 2)
    assert hit_names(place, toy, "magenta", count=1) in (["new.png"], ["magenta.png"])
    assert verify_library(place).errors == []


def test_time_that_goes_back_without_other_bytes_embeds_nothing(folder, index, toy):
    index(folder)
    count = toy.image_count
    for path in folder.iterdir():
        set_time(path, 1e9)
    report = index(folder)
    assert (report.unchanged + report.updated, toy.image_count) == (7, count)
