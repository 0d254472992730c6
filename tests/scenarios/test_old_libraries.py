"""Libraries made by earlier versions are migrated, keep their vectors and answer as before.

The fixtures in libraries/ were made by make_libraries.py with the code of each version; the README.txt in
each says how, and expected.json has what that version answered.
"""

import calendar
import json
import os
import sqlite3
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from indexer import IndexOptions, Report, update_library, verify_library
from retrieval import Library, SearchOptions
from retrieval.catalog.migrations import MIGRATIONS
from retrieval.catalog.reader import add_functions
from retrieval.catalog.schema import CATALOG_FILE
from retrieval.errors import LibraryVersionMismatch
from tests.support import metadata_files
from tests.support.audio_files import ToneClassifier, ToneTranscriber
from tests.support.catalog import downgrade_catalog, edit_catalog
from tests.support.files import draw_image
from tests.support.toy_embedder import BACKGROUND_QUERIES, ToyEmbedder, cosine_similarity

LIBRARIES = Path(__file__).parent / "libraries"
VERSIONS = ("0.1-first", "0.1", "0.2-release", "0.2", "0.3-release", "0.3", "0.4")
MAX_HITS = 100

# Words of texts and of names, and the files that have them in every fixture.
KEYWORDS = {
    "paragraph": {"pictures/notes.txt"},
    "folder": {"more/more.txt"},
    "magenta": {"more/more.txt", "pictures/sub/magenta.png"},
}

Row = tuple[str, float]  # a path under the folder of the fixture, and a score


class RecordingEmbedder(ToyEmbedder):
    """A toy embedder that counts images, and keeps the texts that are not background queries."""

    def __init__(self) -> None:
        self.image_count = 0
        self.texts: list[str] = []

    def embed_images(self, images):
        self.image_count += len(images)
        return super().embed_images(images)

    def embed_texts(self, texts):
        self.texts += [text for text in texts if text not in BACKGROUND_QUERIES]
        return super().embed_texts(texts)


@dataclass
class OldLibrary:
    """An unpacked fixture, and the models to update it with, which record their inputs."""

    folder: Path
    expected: dict
    toy: RecordingEmbedder = field(default_factory=RecordingEmbedder)
    transcriber: ToneTranscriber = field(default_factory=ToneTranscriber)
    listener: ToneClassifier = field(default_factory=ToneClassifier)

    @property
    def library(self) -> Path:
        return self.folder / "library"

    @property
    def has_metadata(self) -> bool:
        """Return True if this version stored the metadata of images."""
        return "3-details" in self.expected["steps"]

    def update(self) -> Report:
        """Update the library with the options that it was made with and that its catalog lacks."""
        options = self.expected["options"]
        return update_library(
            library=self.library,
            embedder=self.toy,
            options=IndexOptions(
                transcriber=self.transcriber if "transcriber 'tones'" in options else None,
                sound_classifier=self.listener if "listener 'ears'" in options else None,
            ),
        )

    def verify(self) -> list[str]:
        """Verify the library and return its errors."""
        return verify_library(self.library).errors

    def open(self) -> Library:
        return Library.open(self.library, embedder=ToyEmbedder())

    def select(self, query: str) -> list[tuple]:
        """Return rows of the catalog."""
        with closing(sqlite3.connect(self.library / CATALOG_FILE)) as db:
            return db.execute(query).fetchall()

    def row(self, hit) -> Row:
        return str(hit.path.relative_to(self.folder)), hit.score


def unpack(version: str, folder: Path) -> OldLibrary:
    """Unpack a fixture and make its catalog name the folders where they are now.

    The indexed folders are absolute paths in the catalog, so a library that is moved together with its media
    would find its folders offline. Times are restored, so that the files are those that the catalog knows.
    """
    with zipfile.ZipFile(LIBRARIES / f"{version}.zip") as packed:
        for info in packed.infolist():
            time = calendar.timegm(info.date_time)
            os.utime(packed.extract(info, folder), (time, time))
    old = OldLibrary(folder, json.loads((folder / "expected.json").read_text("utf-8")))
    with closing(sqlite3.connect(old.library / CATALOG_FILE)) as db, db:
        add_functions(db)  # for the triggers of later catalogs
        for root in old.expected["roots"]:
            moved = (os.fsencode(folder / root), os.fsencode(f"{old.expected['base']}/{root}"))
            assert db.execute("UPDATE roots SET path = ? WHERE path = ?", moved).rowcount == 1
    return old


@pytest.fixture(params=VERSIONS)
def old(request, tmp_path) -> OldLibrary:
    """Unpack the library of a version."""
    return unpack(request.param, tmp_path)


@pytest.fixture(scope="module", params=VERSIONS)
def updated(request, tmp_path_factory) -> OldLibrary:
    """Unpack the library of a version and update it once, for tests that only read."""
    old = unpack(request.param, tmp_path_factory.mktemp("old"))
    old.update()
    return old


_opened: list[set[str]] = []  # a set while files are recorded


def _record(event: str, args: tuple[object, ...]) -> None:
    """Record a file that is opened; Python has no way to remove an audit hook."""
    if _opened and event == "open" and isinstance(args[0], str | bytes | os.PathLike):
        _opened[-1].add(os.fsdecode(args[0]))


sys.addaudithook(_record)


@contextmanager
def recorded_files() -> Iterator[set[str]]:
    """Record the paths of the files that this process opens, in any thread."""
    _opened.append(set())
    try:
        yield _opened[-1]
    finally:
        _opened.pop()


def same_hits(actual: list[Row], expected: list[list]) -> bool:
    """Return True if paths and scores are equal, in any order: equal scores have none."""
    actual, wanted = sorted(actual), sorted(map(tuple, expected))
    same_paths = [path for path, _ in actual] == [path for path, _ in wanted]
    # Expected scores have 5 digits.
    return same_paths and [score for _, score in actual] == pytest.approx([s for _, s in wanted], abs=2e-5)


def without_silent_sounds(old: OldLibrary, words: str, rows: list[list]) -> list[list]:
    """Return rows without those of sounds without tags: their text was "sound recording", and is none now."""
    score = cosine_similarity(ToyEmbedder(), words, "sound recording")
    count = sum(text == "sound recording" for _, text in old.expected["segments"])
    is_current = set(old.expected["steps"]) == set(MIGRATIONS)
    silent = [
        row for row in rows if row[0] == "pictures/walk.opus" and row[1] == pytest.approx(score, abs=4e-4)
    ]
    assert is_current or len(silent) == count
    return rows if is_current else [row for row in rows if row not in silent]


def same_answers(old: OldLibrary) -> bool:
    """Return True if searches by meaning, kind by kind, find what the old version found, the best first."""
    with old.open() as library:
        for words, by_kind in old.expected["answers"].items():
            for kind, expected in by_kind.items():
                hits = library.search(words, kind=kind, count=MAX_HITS, options=SearchOptions(by="meaning"))
                ordered = all(one.score >= other.score for one, other in pairwise(hits))
                wanted = without_silent_sounds(old, words, expected) if kind == "audio" else expected
                if not ordered or not same_hits([old.row(hit) for hit in hits], wanted):
                    return False
    return True


SEGMENTS = 'SELECT id, content, ordinal, kind, text, start, "end", page, box FROM segments ORDER BY id'
VECTORS = "SELECT segment, vector FROM vectors_1 ORDER BY segment"
APPLIED = "SELECT name FROM _sqlite_migrations WHERE migration_set = 'clew' ORDER BY rowid"
FILES = """SELECT iif(f.state = 'present', r.state, f.state), CAST(r.path || x'2f' || f.path AS BLOB)
             FROM files f JOIN roots r ON r.id = f.root"""


def test_library_with_older_schema_is_not_opened_for_reading(old):
    before = (old.library / CATALOG_FILE).read_bytes()
    if set(old.expected["steps"]) == set(MIGRATIONS):  # made with the current schema
        assert same_answers(old)
    else:
        with pytest.raises(LibraryVersionMismatch, match="older version"):
            Library.open(old.library, embedder=ToyEmbedder())
    assert (old.library / CATALOG_FILE).read_bytes() == before


def test_update_applies_all_migrations(old):
    assert [row[0] for row in old.select(APPLIED)] == old.expected["steps"]
    old.update()
    assert [row[0] for row in old.select(APPLIED)] == list(MIGRATIONS)


def test_update_embeds_nothing_again(old):
    segments, vectors = old.select(SEGMENTS), old.select(VECTORS)
    assert len(vectors) == old.expected["vectors"]
    report = old.update()
    assert old.toy.image_count == 0
    # Labels are embedded where the calibration, on which tags depend, has changed since that version.
    assert set(old.toy.texts) <= set(old.expected["tags"])
    assert (old.transcriber.durations, old.listener.durations) == ([], [])
    assert (report.segments, report.added, report.updated, report.moved, report.gone) == (0, 0, 0, 0, 0)
    present, failed = len(old.expected["files"]["present"]), len(old.expected["failures"])
    assert (report.unchanged, report.failed, report.offline) == (present - failed, failed, 1)
    # Sounds without tags had the text "sound recording", and a vector of it.
    silent = {row[0] for row in segments if row[4] == "sound recording"}
    expected = [(*row[:4], None, *row[5:]) if row[0] in silent else row for row in segments]
    assert old.select(SEGMENTS) == expected
    assert old.select(VECTORS) == [row for row in vectors if row[0] not in silent]


def opened_media(old: OldLibrary) -> set[Path]:
    """Update a library and return the files in its roots that were opened."""
    with recorded_files() as opened:
        old.update()
    media = [old.folder / root for root in old.expected["roots"]]
    return {Path(path) for path in opened if any(Path(path).is_relative_to(folder) for folder in media)}


def test_update_opens_only_files_that_an_old_version_left_unread(old):
    """Metadata and perceptual hashes came with 0.3, text in videos with 0.4; nothing else is read again.

    The zero of the times of videos changed after 0.4, which takes no decoding; scans with a stamp are
    recognized since. Each scan opens a CSV file to
    see whether it has captions.
    """
    captions_table, archive = old.folder / "pictures" / "captions.csv", old.folder / "pictures" / "album.zip"
    expected = set()
    if not old.has_metadata:
        images = {Path(path) for path, _ in old.expected["answers"]["red"]["image"]}
        captions = {path.with_suffix(".txt") for path in images}
        expected = {path for path in map(old.folder.joinpath, images | captions) if path.exists()}
    if old.select("SELECT 1 FROM files WHERE CAST(path AS TEXT) LIKE '%clip.mp4'"):
        expected.add(old.folder / "pictures" / "clip.mp4")  # for its zero of time, and text before 0.4
    if "ocr" in old.expected["options"]:
        expected.add(old.folder / "pictures" / "page.pdf")  # with little text, it may be a scan with a stamp
    if old.select("SELECT 1 FROM sqlite_master WHERE name = 'archives'") and archive.exists():
        # It may contain files in formats that came later (.ass, .ssa and .sub after 0.4), which the old
        # version skipped, so its table of contents is read once.
        expected.add(archive)
    assert opened_media(old) - {captions_table} == expected
    assert opened_media(old) <= {captions_table}


def test_second_update_changes_nothing(old):
    old.update()
    segments, texts = old.select(SEGMENTS), list(old.toy.texts)
    report = old.update()
    assert (report.segments, report.added, report.updated, report.gone) == (0, 0, 0, 0)
    assert (old.toy.image_count, old.toy.texts) == (0, texts)
    assert old.select(SEGMENTS) == segments


def test_metadata_is_read_from_images_of_libraries_without_it(updated):
    """Metadata came with 0.3, thus the first update reads the images again, without embedding them."""
    with_metadata = """SELECT count(*) FROM contents c WHERE c.sharpness IS NOT NULL AND EXISTS (
                         SELECT 1 FROM files f JOIN roots r ON r.id = f.root
                          WHERE f.content = c.id AND f.state = 'present' AND r.state = '{}')"""
    images = len(updated.expected["answers"]["red"]["image"]) - 1  # one is offline
    assert updated.select(with_metadata.format("present")) == [(images,)]
    assert updated.select(with_metadata.format("offline")) == [(int(updated.has_metadata),)]


def test_answers_are_those_of_the_old_version(updated):
    assert same_answers(updated)


def test_default_search_finds_the_hits_of_the_old_version(updated):
    """Their order follows from confidence and keywords, which are not the same in all versions.

    So a file may be found by its image instead of its caption, with another score; the scores of each kind
    are those of `test_answers_are_those_of_the_old_version`.
    """
    with updated.open() as library:
        for words, expected in updated.expected["mixed"].items():
            actual = [updated.row(hit) for hit in library.search(words, count=MAX_HITS)]
            wanted = without_silent_sounds(updated, words, expected)
            assert sorted(path for path, _ in actual) == sorted(path for path, _ in wanted), words


@pytest.mark.parametrize("word", KEYWORDS)
def test_keywords_are_found(updated, word):
    with updated.open() as library:
        hits = library.search(word, count=MAX_HITS, options=SearchOptions(by="keyword"))
    assert {path for path, _ in map(updated.row, hits)} == KEYWORDS[word]


def test_similar_images_are_those_of_the_old_version(updated):
    with updated.open() as library:
        hits = library.similar(updated.folder / "pictures" / "red.png", count=MAX_HITS)
    assert same_hits([updated.row(hit) for hit in hits], updated.expected["similar"])


def test_counts_and_failures_are_kept(updated):
    with updated.open() as library:
        status, failures = library.status(), library.failures()
    assert (status.segments, status.kept) == (updated.expected["kinds"], updated.expected["kept"])
    assert {root.path for root in status.roots} == {updated.folder / r for r in updated.expected["roots"]}
    assert {str(f.path.relative_to(updated.folder)) for f in failures} == set(updated.expected["failures"])


def test_states_of_files_are_kept(updated):
    states: dict[str, list[str]] = {}
    for state, path in updated.select(FILES):
        states.setdefault(state, []).append(str(Path(os.fsdecode(path)).relative_to(updated.folder)))
    assert {state: sorted(paths) for state, paths in states.items()} == updated.expected["files"]


def test_tags_are_kept(updated):
    with updated.open() as library:
        # Two pages and scenes are too few to calibrate their kinds, so nothing says that they match a label.
        few = {"pictures/page.pdf", "pictures/clip.mp4"}
        tags = {name: set(tag["paths"]) - few for name, tag in updated.expected["tags"].items()}
        assert set(library.tags()) == set(tags)
        for name, paths in tags.items():
            hits = library.search("red", count=MAX_HITS, options=SearchOptions(tag=name))
            found = {path for path, _ in map(updated.row, hits)}
            assert library.tags()[name] == len(found) > 0
            assert found <= paths  # the calibration of this version is stricter


def test_concepts_are_kept(updated):
    with updated.open() as library:
        assert [concept.name for concept in library.concepts()] == updated.expected["concepts"]
        for query, expected in updated.expected.get("concept_answers", {}).items():
            hits = library.search(query, kind="image", count=MAX_HITS)
            assert same_hits([updated.row(hit) for hit in hits], expected)


def test_updated_library_is_verified(updated):
    assert updated.verify() == []


@pytest.mark.parametrize("old", ["0.3", "0.4"], indirect=True)  # which have transcripts
def test_transcripts_of_the_old_version_are_replaced_by_those_of_another_model(old):
    before = [text for _, text in old.expected["segments"]]
    assert {"red apples.", "green boat.", "blue lamp."} <= set(before)
    old.transcriber = ToneTranscriber("other", {400: "white snow.", 800: "white snow.", 1600: "white snow."})
    assert old.update().kinds == {"text": 3}
    replaced = {text for _, _, _, _, text, *_ in old.select(SEGMENTS)}
    gone = {"red apples.", "green boat.", "blue lamp.", "sound recording"}  # the last: of sounds without tags
    assert replaced == set(before) - gone | {"white snow."}
    assert old.verify() == []


def test_new_image_is_found_tagged_and_tiled(old):
    """Labels and options that the library has saved are applied to new files."""
    old.update()
    path = draw_image(old.folder / "pictures" / "new.png", (250, 0, 0), (160, 130))
    tiles = 5 if "tiles" in old.expected["options"] else 0
    assert old.update().segments == 1 + tiles
    assert old.toy.image_count == 1 + tiles
    with old.open() as library:
        assert path in {hit.path for hit in library.search("red", kind="image", count=2)}
        tagged = [hit.path for hit in library.search("red", count=MAX_HITS, options=SearchOptions(tag="red"))]
    assert (path in tagged) == ("red" in old.expected["tags"])
    assert old.verify() == []


def test_times_that_older_versions_could_not_read_are_read_again(tmp_path, index, place):
    exif = metadata_files.exif(main={0x010F: "Canon", 0x0132: "2020/01/02 03:04:05"})
    draw_image(tmp_path / "root" / "a.jpg", exif=exif)
    draw_image(tmp_path / "root" / "b.png")
    index(tmp_path / "root")
    with edit_catalog(place) as db:
        db.execute("UPDATE contents SET taken = NULL")
    downgrade_catalog(place, "16-video-versions")
    assert index().notes == ["1 file read again for metadata that older versions left out."]
    with closing(sqlite3.connect(place / CATALOG_FILE)) as db:
        query = "SELECT time, taken FROM files JOIN contents c ON c.id = content WHERE taken IS NOT NULL"
        assert db.execute(query).fetchall() == [("2020-01-02T03:04:05",) * 2]
    assert index().notes == []
