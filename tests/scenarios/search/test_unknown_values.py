"""Folders, cameras, lenses and tags that are not in the library are reported with the nearest one."""

import pytest

from tests.support.files import draw_image, write_text


@pytest.fixture
def indexed(clew, tmp_path):
    for name in ("Trips/Paris 2021/red.png", "Trips/Norway/green.png", "Family/blue.png"):
        draw_image(tmp_path / "photos" / name, "red")
    write_text(tmp_path / "photos" / "notes.txt", "red")
    assert clew("index", tmp_path / "photos").exit_code == 0
    assert clew("tag", "beach", "sunset").exit_code == 0
    return clew


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--under", "Norwya"], "No folder 'Norwya' in this library. The nearest is 'Norway'."),
        (["under:norway"], "No folder 'norway' in this library. The nearest is 'Norway'."),
        (["--under", "Trips/Pariss 2021"], "The nearest is 'Trips/Paris 2021'."),
        (["--under", "xylophone"], "It has 'Family', 'Norway', 'Paris 2021', 'Trips', 'photos'."),
        (["--under", "/none/at/all"], "No folder '/none/at/all' in this library."),
        (["--tag", "beech"], "No tag 'beech' in this library. The nearest is 'beach'."),
        (["tag:xylophone"], "No tag 'xylophone' in this library. It has 'beach', 'sunset'."),
        (["--camera", "Canon*"], "No camera 'Canon*': nothing in this library has a camera."),
        (["--lens", "50mm"], "No lens '50mm': nothing in this library has a lens."),
    ],
)
def test_unknown_value_is_reported_in_one_line_with_the_nearest(indexed, arguments, message):
    for words in (["red"], []):
        done = indexed("search", *words, *arguments)
        assert (done.exit_code, done.stdout) == (1, "")
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_known_values_without_a_hit_are_not_reported(indexed):
    done = indexed("red", "--under", "Norway", "--date", "1999")
    assert (done.exit_code, done.stderr) == (1, "Nothing found.\n")


def test_unknown_alternative_is_noted_below_the_hits(indexed):
    done = indexed("red", "--under", "Norway", "--under", "Family", "--under", "Famly", "--paths")
    assert done.exit_code == 0
    assert done.stderr == "No folder 'Famly' in this library. The nearest is 'Family'.\n"


def test_similar_reports_unknown_values(indexed, tmp_path):
    done = indexed("similar", tmp_path / "photos" / "Family" / "blue.png", "--under", "Norwya")
    assert (done.exit_code, "nearest is 'Norway'" in done.stderr) == (1, True)
