"""What is found on disk, in which order, and what is left out."""

import os
import socket
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.scan.diff import CatalogFile, compare
from indexer.scan.rules import ScanOptions
from indexer.scan.targets import ScanTarget
from indexer.scan.walker import ScanIssues, list_files, walk
from indexer.types import FileEntry
from tests.support.files import draw_image, requires_non_utf8_names, write_text


def paths(root, options=ScanOptions(), walked=None, below=b""):  # noqa: B008
    target = ScanTarget(0, os.fsencode(root), options, below)
    return [found.path for found in walk(target, walked or ScanIssues())]


def test_the_walk_is_in_the_byte_order_of_paths(tmp_path):
    for name in ("b.png", "a/z.png", "a.png", "a-b/c.png", "a0.png", "C.png", "a/b/c.png"):
        draw_image(tmp_path / name)
    found = paths(tmp_path)
    assert found == sorted(found)
    assert len(found) == 7


def test_hidden_files_are_left_out_unless_asked_for(tmp_path):
    draw_image(tmp_path / ".secret" / "a.png")
    draw_image(tmp_path / ".b.png")
    draw_image(tmp_path / "c.png")
    assert paths(tmp_path) == [b"c.png"]
    assert paths(tmp_path, ScanOptions(hidden=True)) == [b".b.png", b".secret/a.png", b"c.png"]


def test_excluded_names_and_paths_are_left_out(tmp_path):
    for name in ("a.png", "b.gif", "Private/c.png", "sub/Private/d.png", "sub/e.png"):
        draw_image(tmp_path / name)
    assert paths(tmp_path, ScanOptions(exclude=["*.gif", "Private/"])) == [b"a.png", b"sub/e.png"]
    assert paths(tmp_path, ScanOptions(exclude=["sub/*"])) == [b"Private/c.png", b"a.png", b"b.gif"]


def test_other_programs_leftovers_and_libraries_are_left_out(tmp_path):
    draw_image(tmp_path / "node_modules" / "a.png")
    draw_image(tmp_path / "@eaDir" / "a.png")
    assert paths(tmp_path) == []
    draw_image(tmp_path / "library" / "indexes" / "a.png")
    (tmp_path / "library" / "catalogue.sqlite").touch()
    assert paths(tmp_path) == []


def test_suffixes_are_read_in_any_case(tmp_path):
    draw_image(tmp_path / "a.PNG", format="PNG")
    write_text(tmp_path / "b.TxT", "words")
    assert paths(tmp_path) == [b"a.PNG", b"b.TxT"]


def test_what_no_decoder_reads_is_counted(tmp_path):
    write_text(tmp_path / "a.xyz", "")
    write_text(tmp_path / "Makefile", "")
    walked = ScanIssues()
    assert paths(tmp_path, walked=walked) == []
    assert walked.skipped == {".xyz": 1, "no suffix": 1}


@pytest.mark.parametrize(
    "name", ["new\nline.png", "tab\t.png", "emoji 🐶.png", "日本.png", "-rf.png", "a'b\".png"]
)
def test_unusual_names_are_found(tmp_path, name):
    draw_image(tmp_path / name)
    assert paths(tmp_path) == [name.encode()]


@requires_non_utf8_names
def test_names_that_are_no_utf8_are_found(tmp_path):
    place = os.fsencode(draw_image(tmp_path / "a.png"))
    os.rename(place, os.fsencode(tmp_path) + b"/caf\xe9.png")
    assert paths(tmp_path) == [b"caf\xe9.png"]


def test_a_link_that_leads_back_is_not_followed(tmp_path):
    draw_image(tmp_path / "a" / "b" / "c.png")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    (tmp_path / "again").symlink_to(tmp_path / "a" / "b")
    (tmp_path / "self").symlink_to(tmp_path)
    assert paths(tmp_path) == [b"a/b/c.png"]


def test_a_link_out_of_the_root_is_followed_once(tmp_path):
    draw_image(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "elsewhere")
    root = tmp_path / "root"
    root.mkdir()
    (root / "one").symlink_to(tmp_path / "elsewhere")
    (root / "two").symlink_to(tmp_path / "elsewhere")
    assert paths(root) == [b"one/a.png"]


def test_links_to_nothing_pipes_and_sockets_are_passed_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path has at most 104 bytes
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.png")
        assert paths(tmp_path) == []


def test_captions_know_their_picture(tmp_path):
    for name in ("a.jpg", "b.png", "c.jpg", "d.jpg"):
        draw_image(tmp_path / name)
    for name in ("a.txt", "b.png.txt", "c.json", "d.json", "d.txt", "lone.txt", "lone.json", "a.xmp"):
        write_text(tmp_path / name, "x")
    found = {f.path: (f.decoder, f.sidecar_of) for f in list_files(os.fsencode(tmp_path))}
    assert found[b"a.txt"] == found[b"a.xmp"] == ("caption", b"a.jpg")
    assert found[b"b.png.txt"] == ("caption", b"b.png")
    assert found[b"c.json"] == ("caption", b"c.jpg")
    assert found[b"d.txt"] == ("caption", b"d.jpg")
    assert found[b"lone.txt"] == ("text", None)
    assert b"d.json" not in found  # its picture has a .txt, which img2dataset fills from it
    assert b"lone.json" not in found


def test_a_folder_that_cannot_be_listed_is_noted(tmp_path, monkeypatch):
    draw_image(tmp_path / "locked" / "a.png")
    draw_image(tmp_path / "b.png")
    scandir = os.scandir

    def refuse(path):
        if path.endswith(b"locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    walked = ScanIssues()
    assert paths(tmp_path, walked=walked) == [b"b.png"]
    assert walked.unreadable == [b"locked"]


names = st.dictionaries(st.binary(min_size=1, max_size=3), st.integers(0, 2), max_size=20)


@given(names, names, st.sampled_from(["present", "offline", "gone"]))
@settings(deadline=None)
def test_comparing_two_streams_is_comparing_two_sets(disk, catalogue, state):
    found = [FileEntry(path, size, 0, "picture") for path, size in sorted(disk.items())]
    numbers = count(1)
    known = [
        CatalogFile(next(numbers), path, size, 0, "picture", None, state, False)
        for path, size in sorted(catalogue.items())
    ]
    changes = compare(iter(found), lambda after: iter(known), [], retry=False)
    same = {path for path in disk if catalogue.get(path) == disk[path]}
    assert {f.path for f in changes.new_or_changed} == set(disk) - same
    assert changes.unchanged == len(same)
    assert len(changes.returned) == (0 if state == "present" else len(same))
    assert changes.known_count == (0 if state == "gone" else len(catalogue))
    assert {k.path for k in changes.missing} == (set(catalogue) - set(disk) if state != "gone" else set())


def test_files_below_an_unread_folder_are_not_missing():
    known = [
        CatalogFile(i, path, 1, 1, "picture", None, "present", False)
        for i, path in enumerate([b"a/x", b"ab/x", b"b"])
    ]
    changes = compare(iter([]), lambda after: iter(known), [b"a"], retry=False)
    assert [k.path for k in changes.unreadable] == [b"a/x"]
    assert [k.path for k in changes.missing] == [b"ab/x", b"b"]
