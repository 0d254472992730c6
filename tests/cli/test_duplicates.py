"""`clew duplicates` and `--group` on drawn images: groups, their best file, and their output."""

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from indexer import index_folder
from retrieval import Library, SearchOptions
from retrieval.errors import QueryError
from retrieval.search import results
from tests.support.files import draw_image, write_text
from tests.support.terminal import run_in_terminal

ORANGE, TEAL = (255, 140, 40), (40, 140, 255)


def scene(seed: int, tint=ORANGE, size=(320, 240)) -> Image.Image:
    """Draw blurred shapes with grain in shades of one color."""
    draw = np.random.default_rng(seed)
    small = draw.integers(40, 216, (6, 8, 1)) * np.array(tint) // 255
    soft = np.asarray(
        Image.fromarray(small.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC), np.int16
    )
    grain = draw.integers(-16, 17, (*soft.shape[:2], 1))
    return Image.fromarray(np.clip(soft + grain, 0, 255).astype(np.uint8))


def save(image: Image.Image, path: Path, taken: str = "", camera: str = "", **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if taken:
        exif.get_ifd(0x8769)[0x9003] = taken
    if camera:
        exif[0x0110] = camera
    image.save(path, exif=exif, **options)
    return path


def crop(image: Image.Image, share: float) -> Image.Image:
    x, y = image.width * share, image.height * share
    return image.crop((int(x), int(y), int(image.width - x), int(image.height - y)))


CHANGES = {
    "resized": lambda image: image.resize((160, 120)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "cropped": lambda image: crop(image, 0.02),
    "gray": lambda image: image.convert("L"),
}


@pytest.fixture
def photos(tmp_path):
    """Draw an image with four duplicates, a pair, a burst and three unique images."""
    place = tmp_path / "photos"
    save(scene(1), place / "rex.jpg", quality=92)
    (place / "backup").mkdir()
    (place / "backup" / "rex.jpg").write_bytes((place / "rex.jpg").read_bytes())
    (place / "backup" / "b.jpg").write_bytes((place / "rex.jpg").read_bytes())
    save(CHANGES["resized"](scene(1)), place / "small.jpg")
    save(scene(1), place / "again.jpg", quality=50)
    save(scene(2), place / "IMG_2.jpg")
    save(scene(2), place / "IMG_2.png")
    for second, shift in ((1, 0), (2, 40), (4, 80)):
        burst = scene(3, size=(420, 240)).crop((shift, 0, shift + 320, 240))
        save(burst, place / f"burst{second}.jpg", f"2024:05:01 12:00:0{second}", "Pentax")
    save(scene(4), place / "alone4.jpg", "2024:05:01 12:00:03", "Canon")
    save(scene(5), place / "alone5.jpg")
    save(scene(1, TEAL), place / "teal.jpg")  # the same shapes in another color
    write_text(place / "a.txt", "the same words\n")
    write_text(place / "b.md", "the same words\n")
    write_text(place / "nothing.txt", "")
    write_text(place / "void.txt", "")
    for path in place.rglob("*"):
        os.utime(path, ns=(10**18, 10**18))  # of copies, the shortest path is first
    return place


@pytest.fixture
def album(photos, index, place, toy):
    index(photos)
    with Library.open(place, embedder=toy) as library:
        yield library


def names(groups):
    return [(group.reason, [file.path.name for file in group.files]) for group in groups]


def test_duplicates_are_copies_and_near_duplicates_by_default(album, photos):
    assert sorted(names(album.duplicates())) == [
        ("copy", ["b.md", "a.txt"]),
        ("copy", ["rex.jpg", "b.jpg", "rex.jpg"]),
        ("near-duplicate", ["rex.jpg", "again.jpg", "small.jpg", "b.jpg", "rex.jpg"]),
    ]
    assert sorted(
        (reason, sorted(files)) for reason, files in names(album.duplicates(by=["pair", "burst"]))
    ) == [
        ("burst", ["burst1.jpg", "burst2.jpg", "burst4.jpg"]),
        ("pair", ["IMG_2.jpg", "IMG_2.png"]),
    ]


def test_groups_are_sorted_by_redundant_bytes(album, photos):
    first, *rest = album.duplicates()
    assert first.reason == "near-duplicate"
    assert [file.size for file in first.files] == [file.path.stat().st_size for file in first.files]
    assert first.waste == first.size - (photos / "rex.jpg").stat().st_size
    assert [group.waste for group in rest] == sorted((group.waste for group in rest), reverse=True)
    assert (first.files[0].width, first.files[0].height) == (320, 240)


@pytest.mark.parametrize("change", CHANGES)
def test_edited_image_is_a_near_duplicate_for_the_builtin_model(tmp_path, place, change):
    for seed in range(6):
        save(scene(seed), tmp_path / "p" / f"{seed}.png")
    save(CHANGES[change](scene(3)), tmp_path / "p" / "changed.jpg", quality=80)
    with index_folder(tmp_path / "p", library=place, model="builtin") as library:
        assert [set(files) for _, files in names(library.duplicates())] == [{"3.png", "changed.jpg"}]


def test_folder_limits_groups_to_its_files(album, photos):
    assert names(album.duplicates(photos / "backup")) == [("copy", ["b.jpg", "rex.jpg"])]
    assert names(album.duplicates("backup")) == [("copy", ["b.jpg", "rex.jpg"])]
    with pytest.raises(QueryError, match="No file under back "):
        album.duplicates("back")
    assert len(album.duplicates(photos)) == 3
    with pytest.raises(QueryError, match="frames"):
        album.duplicates(by="frames")


def test_deleted_files_and_offline_copies_of_present_files_are_not_listed(album, photos, index):
    (photos / "rex.jpg").unlink()
    (photos / "b.md").unlink()
    index(photos)
    assert ("copy", ["b.jpg", "rex.jpg"]) in names(album.duplicates())
    assert not [files for _, files in names(album.duplicates()) if "a.txt" in files]
    away = photos.rename(photos.with_name("away"))
    other = photos.with_name("other")
    save(scene(9), other / "x.jpg")
    (other / "a longer name.jpg").write_bytes((away / "backup" / "b.jpg").read_bytes())
    index(other)
    index()
    assert album.duplicates(by="copy") == []  # the files of `away` may have been moved to `other`
    (other / "b.jpg").write_bytes((away / "backup" / "b.jpg").read_bytes())
    index(other)
    (copy,) = album.duplicates(by="copy")
    assert {file.path for file in copy.files} == {other / "a longer name.jpg", other / "b.jpg"}


def test_group_is_one_hit_with_the_rest_as_more(album, photos):
    plain = album.search(image=photos / "rex.jpg", kind="image", count=30)
    hits = album.search(image=photos / "rex.jpg", kind="image", count=30, options=SearchOptions(group=True))
    first = next(hit for hit in hits if hit.path == photos / "rex.jpg")
    assert first.score == next(hit.score for hit in plain if hit.id == first.id)
    assert {hit.path for hit in first.more} == {
        photos / name for name in ("backup/rex.jpg", "backup/b.jpg", "again.jpg", "small.jpg")
    }
    assert all(hit.more == () for hit in first.more)
    copies = [hit for hit in first.more if hit.path.parent.name == "backup"]
    assert {(hit.id, hit.score) for hit in copies} == {(first.id, first.score)}
    assert sorted(len(hit.more) for hit in hits) == [0, 0, 0, 1, 2, 4]
    shown = [hit.path for hit in hits] + [other.path for hit in hits for other in hit.more]
    assert len(shown) == len(set(shown)) == 13
    assert {hit.path for hit in plain} < set(shown)


def test_large_groups_do_not_reduce_the_number_of_hits(tmp_path, index, place, toy, monkeypatch):
    """The group is larger than the number of hits that are grouped at first."""
    monkeypatch.setattr(results, "MIN_CANDIDATES", 30)
    size, image = results.MIN_CANDIDATES + 20, scene(1)
    for number in range(size):
        path = tmp_path / "p" / f"{number}.jpg"
        save(image, path, quality=30 + number % 30, comment=str(number))
    save(scene(2, TEAL), tmp_path / "p" / "other.jpg")
    index(tmp_path / "p")
    with Library.open(place, embedder=toy) as library:
        query, options = tmp_path / "p" / "0.jpg", SearchOptions(group=True)
        hits = library.search(image=query, count=2, options=options)
        assert [len(hit.more) for hit in hits] == [size - 1, 0]
        assert len(library.search(image=query, count=5, options=options)) == 2


def test_group_is_ranked_by_its_best_score_and_represented_by_its_best_file(tmp_path, index, place, toy):
    save(scene(1, size=(64, 48)), tmp_path / "p" / "small.png")
    save(CHANGES["brighter"](scene(1, (255, 120, 60))), tmp_path / "p" / "large.png")
    save(scene(2, (255, 130, 50)), tmp_path / "p" / "between.png")
    index(tmp_path / "p")
    with Library.open(place, embedder=toy) as library:
        query = tmp_path / "p" / "small.png"
        assert [h.path.name for h in library.search(image=query)] == ["small.png", "between.png", "large.png"]
        first, second = library.search(image=query, options=SearchOptions(group=True))
    assert (first.path.name, first.more[0].path.name, second.path.name) == (
        "large.png", "small.png", "between.png"
    )  # fmt: skip
    assert first.score < second.score < first.more[0].score


def test_group_has_the_confidence_of_its_best_match(tmp_path, index, place, toy):
    """A small image matches well, the larger one of its group does not."""
    for number in range(60):
        draw_image(tmp_path / "p" / f"{number}.png", (3 * number, 250 - 4 * number, 40))
    save(scene(1, size=(64, 48)), tmp_path / "p" / "small.jpg")
    save(ImageEnhance.Color(scene(1)).enhance(0.4), tmp_path / "p" / "large.jpg")
    index(tmp_path / "p")
    query = tmp_path / "p" / "small.jpg"
    with Library.open(place, embedder=toy) as library:
        plain = {hit.path.stem: hit for hit in library.search(image=query, count=70)}
        first, *_ = library.search(image=query, count=70, options=SearchOptions(group=True))
    assert (first.path.stem, [hit.path.stem for hit in first.more]) == ("large", ["small"])
    assert plain["large"].confidence < plain["small"].confidence == first.confidence
    assert first.score == plain["large"].score


def test_captions_of_one_image_are_one_hit(tmp_path, index, place, toy):
    save(scene(1), tmp_path / "p" / "a.jpg")
    write_text(tmp_path / "p" / "a.txt", "red red\nred blue\n")
    (tmp_path / "p" / "c.jpg").write_bytes((tmp_path / "p" / "a.jpg").read_bytes())
    index(tmp_path / "p")
    with Library.open(place, embedder=toy) as library:
        (hit,) = library.search("red", kind="text", options=SearchOptions(group=True))
        assert (hit.path.name, hit.text, hit.more) == ("a.jpg", "red red", ())
        hits = library.search("red", options=SearchOptions(group=True))
        assert [(hit.path.name, [other.path.name for other in hit.more]) for hit in hits] == [
            ("a.jpg", ["c.jpg"])
        ]


def test_copies_excluded_by_a_filter_are_not_in_the_group(album, photos):
    (hit,) = album.search(image=photos / "rex.jpg", options=SearchOptions(under="backup", group=True))
    assert (hit.path.name, [other.path.name for other in hit.more]) == ("b.jpg", ["rex.jpg"])


@pytest.fixture
def indexed(clew, photos):
    """Index the photos with the built-in model."""
    assert clew("index", photos).exit_code == 0
    return clew


def test_command_lists_groups_and_changes_no_file(indexed, photos):
    before = {path: path.stat().st_mtime_ns for path in photos.rglob("*")}
    done = indexed("duplicates")
    assert done.exit_code == 0
    heading, best, *_ = done.stdout.splitlines()
    assert heading.startswith("near-duplicate: 5 files, ")
    assert best.startswith("* ") and best.endswith("320 x 240  photos/rex.jpg")
    assert done.stderr.startswith("3 groups, ")
    assert done.stderr.endswith("Nothing was deleted.\n")
    assert {path: path.stat().st_mtime_ns for path in photos.rglob("*")} == before
    empty = indexed("duplicates", "--by", "pair", "backup")
    assert (empty.exit_code, empty.stdout, empty.stderr) == (1, "", "No duplicates found.\n")
    assert indexed("duplicates", "--by", "frames").exit_code == 2


def test_command_writes_json_and_paths_of_all_but_the_best(indexed, photos):
    groups = json.loads(indexed("duplicates", "--by", "copy", "--json").stdout)
    assert [(group["reason"], group["count"]) for group in groups] == [("copy", 3), ("copy", 2)]
    first = groups[0]
    size = (photos / "rex.jpg").stat().st_size
    assert (first["size"], first["waste"]) == (3 * size, 2 * size)
    assert first["files"][0] == {
        "path": str(photos / "rex.jpg"), "kind": "image", "size": size, "width": 320, "height": 240,
        "taken": None, "offline": False,
    }  # fmt: skip
    backup = [str(photos / "backup" / name) for name in ("b.jpg", "rex.jpg")]
    assert indexed("duplicates", "--by", "copy", "--paths").stdout.splitlines() == [
        *backup,
        str(photos / "a.txt"),
    ]
    assert indexed("duplicates", "--by", "copy", "-0").stdout.split("\0")[:2] == backup
    mistyped = indexed("duplicates", "nowhere", "--json")
    assert (mistyped.exit_code, "No file under nowhere" in mistyped.output) == (2, True)


def test_every_output_format_has_groups(indexed, photos):
    query = ("search", "--image", photos / "rex.jpg", "--kind", "image", "-k", 2, "--group")
    first = json.loads(indexed(*query, "--json").stdout)[0]
    assert len(first["more"]) == 4
    assert "more" not in first["more"][0]
    assert {**json.loads(indexed(*query, "--nl").stdout.splitlines()[0])} == first
    assert next(csv.DictReader(io.StringIO(indexed(*query, "--csv").stdout)))["more"] == "4"
    rank, _, path, _, more, *_ = indexed(*query).stdout.splitlines()[0].split("\t")
    assert (rank, path, more) == ("1", str(photos / "rex.jpg"), "+4")
    assert indexed(*query, "--paths").stdout.splitlines()[0] == str(photos / "rex.jpg")
    without = indexed(*query[:-1], "--json").stdout, indexed(*query[:-1], "--csv").stdout
    assert not [text for text in without if "more" in text]


def test_terminal_table_shows_the_group_size(indexed, photos):
    query = ["search", "--image", str(photos / "rex.jpg"), "--kind", "image", "-k", 2, "--group"]
    assert "photos/rex.jpg +4" in run_in_terminal(query, photos.parent)


def test_library_with_texts_only_has_groups(tmp_path, index, place, toy):
    for name in ("a", "b"):
        write_text(tmp_path / "p" / f"{name}.txt", "a red wall\n")
    write_text(tmp_path / "p" / "c.txt", "a red house\n")
    index(tmp_path / "p")
    with Library.open(place, embedder=toy) as library:
        hits = library.search("red", options=SearchOptions(group=True))
        assert sorted((hit.path.name, len(hit.more)) for hit in hits) == [("a.txt", 1), ("c.txt", 0)]
        assert names(library.duplicates()) == [("copy", ["a.txt", "b.txt"])]
        assert library.duplicates(by=["near-duplicate", "burst", "pair"]) == []


def test_links_and_changed_files_are_not_copies(tmp_path, index, place, toy):
    """A listed copy can be deleted safely: it is never the only name of a file."""
    for name in ("real/long name.png", "two/a.png", "two/b.png", "two/c.png"):
        draw_image(tmp_path / "in" / name, "red")
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "in" / "real" / "long name.png")
    (tmp_path / "in" / "hard.png").hardlink_to(tmp_path / "in" / "two" / "a.png")
    (tmp_path / "linked").symlink_to(tmp_path / "in")
    index(tmp_path / "in")
    index(tmp_path / "linked")
    (tmp_path / "in" / "two" / "b.png").unlink()
    draw_image(tmp_path / "in" / "two" / "c.png", "blue", size=(99, 9))
    with Library.open(place, embedder=toy) as library:
        groups = library.duplicates(by="copy")
    files = [tmp_path / "in" / "real" / "long name.png", tmp_path / "in" / "hard.png"]
    assert [{file.path for file in group.files} for group in groups] == [set(files)]
