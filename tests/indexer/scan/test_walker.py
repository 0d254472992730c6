"""The walker lists the files of a root in path order; the comparison finds their changes."""

import os
import socket
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.scan.diff import CatalogFile, UncheckedPaths, compare
from indexer.scan.rules import ScanOptions, is_included
from indexer.scan.targets import ScanTarget
from indexer.scan.walker import ScanIssues, list_files, walk
from indexer.types import FileEntry
from tests.support.files import draw_image, requires_non_utf8_names, write_text


def paths(root, options=ScanOptions(), issues=None):  # noqa: B008
    target = ScanTarget(0, os.fsencode(root), options)
    return [entry.path for entry in walk(target, issues or ScanIssues())]


def test_files_are_in_the_byte_order_of_paths(tmp_path):
    for name in ("b.png", "a/z.png", "a.png", "a-b/c.png", "a0.png", "C.png", "a/b/c.png"):
        draw_image(tmp_path / name)
    listed = paths(tmp_path)
    assert listed == sorted(listed)
    assert len(listed) == 7


def test_hidden_files_are_skipped_by_default(tmp_path):
    draw_image(tmp_path / ".secret" / "a.png")
    draw_image(tmp_path / ".b.png")
    draw_image(tmp_path / "c.png")
    assert paths(tmp_path) == [b"c.png"]
    assert paths(tmp_path, ScanOptions(hidden=True)) == [b".b.png", b".secret/a.png", b"c.png"]


def test_lock_files_of_office_are_skipped(tmp_path):
    for name in ("~$Report.docx", "Report.docx", "~plan.docx"):
        write_text(tmp_path / name, "red")
    assert paths(tmp_path, ScanOptions(hidden=True)) == [b"Report.docx", b"~plan.docx"]
    assert not is_included(ScanOptions(hidden=True), b"a/~$Report.docx")


def test_excluded_names_and_paths_are_skipped(tmp_path):
    for name in ("a.png", "b.gif", "Private/c.png", "sub/Private/d.png", "sub/e.png"):
        draw_image(tmp_path / name)
    assert paths(tmp_path, ScanOptions(exclude=["*.gif", "Private/"])) == [b"a.png", b"sub/e.png"]
    assert paths(tmp_path, ScanOptions(exclude=["sub/*"])) == [b"Private/c.png", b"a.png", b"b.gif"]


def test_folders_of_other_programs_and_libraries_are_skipped(tmp_path):
    draw_image(tmp_path / "node_modules" / "a.png")
    draw_image(tmp_path / "@eaDir" / "a.png")
    assert paths(tmp_path) == []
    draw_image(tmp_path / "library" / "indexes" / "a.png")
    (tmp_path / "library" / "catalogue.sqlite").touch()
    assert paths(tmp_path) == []


def test_case_of_suffixes_is_ignored(tmp_path):
    draw_image(tmp_path / "a.PNG", format="PNG")
    write_text(tmp_path / "b.TxT", "words")
    assert paths(tmp_path) == [b"a.PNG", b"b.TxT"]


def test_files_without_a_decoder_are_counted(tmp_path):
    write_text(tmp_path / "a.xyz", "")
    write_text(tmp_path / "Makefile", "")
    issues = ScanIssues()
    assert paths(tmp_path, issues=issues) == []
    assert issues.skipped == {".xyz": 1, "no suffix": 1}


@pytest.mark.parametrize(
    "name", ["new\nline.png", "tab\t.png", "emoji 🐶.png", "日本.png", "-rf.png", "a'b\".png"]
)
def test_unusual_names_are_listed(tmp_path, name):
    draw_image(tmp_path / name)
    assert paths(tmp_path) == [name.encode()]


@requires_non_utf8_names
def test_names_that_are_not_utf8_are_listed(tmp_path):
    path = os.fsencode(draw_image(tmp_path / "a.png"))
    os.rename(path, os.fsencode(tmp_path) + b"/caf\xe9.png")
    assert paths(tmp_path) == [b"caf\xe9.png"]


def test_link_to_a_folder_of_the_root_is_not_followed(tmp_path):
    draw_image(tmp_path / "a" / "b" / "c.png")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    (tmp_path / "again").symlink_to(tmp_path / "a" / "b")
    (tmp_path / "self").symlink_to(tmp_path)
    assert paths(tmp_path) == [b"a/b/c.png"]


@pytest.mark.parametrize("subpath", ["self", "again", "a/b/up", "self/a", "again/c"])
def test_part_of_a_root_below_a_link_into_the_root_is_not_walked(tmp_path, subpath):
    draw_image(tmp_path / "a" / "b" / "c" / "d.png")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    (tmp_path / "again").symlink_to(tmp_path / "a" / "b")
    (tmp_path / "self").symlink_to(tmp_path)
    target = ScanTarget(0, os.fsencode(tmp_path), ScanOptions(), os.fsencode(subpath))
    assert list(walk(target, ScanIssues())) == []


def test_part_of_a_root_below_a_link_to_elsewhere_is_walked(tmp_path):
    draw_image(tmp_path / "elsewhere" / "sub" / "a.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "one").symlink_to(tmp_path / "elsewhere")
    target = ScanTarget(0, os.fsencode(tmp_path / "root"), ScanOptions(), b"one/sub")
    assert [entry.path for entry in walk(target, ScanIssues())] == [b"one/sub/a.png"]


def test_folder_outside_the_root_is_listed_for_one_link(tmp_path):
    draw_image(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "elsewhere")
    root = tmp_path / "root"
    root.mkdir()
    (root / "one").symlink_to(tmp_path / "elsewhere")
    (root / "two").symlink_to(tmp_path / "elsewhere")
    assert paths(root) == [b"one/a.png"]


def test_broken_links_pipes_and_sockets_are_skipped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path has at most 104 bytes
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.png")
        assert paths(tmp_path) == []


def test_captions_are_sidecars_of_their_image(tmp_path):
    for name in ("a.jpg", "b.png", "c.jpg", "d.jpg"):
        draw_image(tmp_path / name)
    for name in ("a.txt", "b.png.txt", "c.json", "d.json", "d.txt", "lone.txt", "lone.json", "a.xmp"):
        write_text(tmp_path / name, "x")
    entries = {entry.path: (entry.decoder, entry.sidecar_of) for entry in list_files(os.fsencode(tmp_path))}
    assert entries[b"a.txt"] == entries[b"a.xmp"] == ("caption", b"a.jpg")
    assert entries[b"b.png.txt"] == ("caption", b"b.png")
    assert entries[b"c.json"] == ("caption", b"c.jpg")
    assert entries[b"d.txt"] == ("caption", b"d.jpg")
    assert entries[b"lone.txt"] == ("text", None)
    assert b"d.json" not in entries  # img2dataset writes its caption to d.txt too
    assert entries[b"lone.json"] == ("text", None)


def test_metadata_of_a_media_file_is_not_a_text(tmp_path):
    """Google Photos exports one JSON for each photo and video, under several names."""
    media = ("a.jpg", "a(1).jpg", "b.mp4", "c.mp3")
    tags = (
        "a.jpg.supplemental-metadata.json",
        "a.jpg.supplemental-met(1).json",
        "b.mp4.json",
        "c.mp3.suppl.json",
    )
    for name in (*media, *tags, "metadata.json"):
        write_text(tmp_path / name, "{}")
    entries = {entry.path.decode(): entry.decoder for entry in list_files(os.fsencode(tmp_path))}
    assert sorted(entries) == sorted((*media, "metadata.json"))
    assert entries["metadata.json"] == "text"


def test_folder_that_cannot_be_listed_is_reported(tmp_path, monkeypatch):
    draw_image(tmp_path / "locked" / "a.png")
    draw_image(tmp_path / "b.png")
    scandir = os.scandir

    def fail(path):
        if path.endswith(b"locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", fail)
    issues = ScanIssues()
    assert paths(tmp_path, issues=issues) == [b"b.png"]
    assert issues.unreadable == [b"locked"]


names = st.dictionaries(st.binary(min_size=1, max_size=3), st.integers(0, 2), max_size=20)


@given(names, names, st.sampled_from(["present", "offline", "gone"]))
@settings(deadline=None)
def test_comparison_of_sorted_files_equals_that_of_sets(disk, catalog, state):
    entries = [FileEntry(path, size, 0, "picture") for path, size in sorted(disk.items())]
    ids = count(1)
    known = [
        CatalogFile(next(ids), path, size, 0, "picture", None, None, state, False)
        for path, size in sorted(catalog.items())
    ]
    changes = compare(iter(entries), lambda after: iter(known), UncheckedPaths())
    same = {path for path in disk if catalog.get(path) == disk[path]}
    assert {f.path for f in changes.new_or_changed} == set(disk) - same
    assert changes.unchanged == len(same)
    assert len(changes.returned) == (0 if state == "present" else len(same))
    assert changes.known_count == (0 if state == "gone" else len(catalog))
    assert {k.path for k in changes.missing} == (set(catalog) - set(disk) if state != "gone" else set())


states = st.tuples(
    st.sampled_from([None, 1, 2]),  # ctime
    st.sampled_from(["present", "offline", "gone"]),
    *[st.booleans()] * 3,  # failed, retry, partial
)


@given(st.integers(1, 2), st.lists(states, max_size=8), st.sampled_from(["none", "failed", "all"]))
@settings(deadline=None)
def test_comparison_counts_only_read_files_as_unchanged_without_looking_further(size, known_states, reread):
    """A file takes the fast path only if the rules, one by one, call it unchanged and present."""
    entries = [FileEntry(b"%d" % n, size, 0, "picture", None, 1) for n in range(len(known_states))]
    known = [CatalogFile(n, b"%d" % n, 1, 0, "picture", None, *state) for n, state in enumerate(known_states)]
    changes = compare(entries, lambda after: iter(known), UncheckedPaths(), reread)
    read_again = [
        old
        for old in known
        if size != 1 or old.retry or reread == "all" or (reread == "failed" and (old.failed or old.partial))
    ]
    same = [old for old in known if old not in read_again]
    kept = [old for old in same if old.ctime != 2]
    assert [new.path for new in changes.new_or_changed] == [old.path for old in read_again]
    assert [old for _, old in changes.touched] == [old for old in same if old.ctime == 2]
    assert changes.new_ctimes == [(1, old.id) for old in kept if old.ctime is None]
    assert changes.returned == [old.id for old in kept if old.state != "present"]
    assert changes.failed == sum(old.failed for old in kept)
    assert changes.unchanged == sum(not old.failed for old in kept)
    assert changes.known_count == sum(old.state != "gone" for old in known)


def test_files_below_an_unreadable_folder_are_not_missing():
    known = [
        CatalogFile(i, path, 1, 1, "picture", None, None, "present", False)
        for i, path in enumerate([b"a/x", b"ab/x", b"b"])
    ]
    changes = compare(iter([]), lambda after: iter(known), UncheckedPaths([b"a"]))
    assert [k.path for k in changes.unreadable] == [b"a/x"]
    assert [k.path for k in changes.missing] == [b"ab/x", b"b"]


def test_link_that_was_followed_before_is_followed_again(tmp_path):
    draw_image(tmp_path / "elsewhere" / "a.png")
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    for name in ("one", "sub/two", "three"):
        (root / name).symlink_to(tmp_path / "elsewhere")
    known = ((os.fsencode(tmp_path / "elsewhere"), b"sub/two"),)
    target = ScanTarget(0, os.fsencode(root), ScanOptions(), known_links=known)
    assert [entry.path for entry in walk(target, ScanIssues())] == [b"sub/two/a.png"]
    for subpath, expected in [(b"one", []), (b"sub", [b"sub/two/a.png"]), (b"sub/two", [b"sub/two/a.png"])]:
        part = target._replace(subpath=subpath)
        assert [entry.path for entry in walk(part, ScanIssues())] == expected
    excluded = target._replace(options=ScanOptions(exclude=["sub"]))
    assert [entry.path for entry in walk(excluded, ScanIssues())] == [b"one/a.png"]
    (root / "sub" / "two").unlink()
    assert [entry.path for entry in walk(target, ScanIssues())] == [b"one/a.png"]
