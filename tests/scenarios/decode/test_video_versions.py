"""Videos that an older version decoded get the times, subtitles and dates of this version."""

import pytest
from PIL import Image

from indexer import IndexOptions, update_library, verify_library
from retrieval import Library
from retrieval.catalog.reader import add_functions
from tests.support.audio_files import ToneTranscriber
from tests.support.catalog import edit_catalog
from tests.support.video_files import write_video

SCENES = [("red", 3.0), ("green", 3.0)]
ENGLISH = [(7.0, 8.0, "a green field"), (8.0, 9.0, "and a red barn.")]
GERMAN = [(7.1, 8.1, "ein Feld"), (8.1, 9.0, "und ein Haus.")]
ROWS = 'SELECT kind, origin, text, start, "end" FROM segments ORDER BY start, kind, text'


def rows(place, query=ROWS):
    with edit_catalog(place) as db:
        add_functions(db)
        return db.execute(query).fetchall()


def pretend_version_1(place, *changes: str) -> None:
    """Change the catalog to what version 1 wrote."""
    for change in ("UPDATE analyses SET version = '1' WHERE analysis = 'scenes'", *changes):
        rows(place, change)


@pytest.fixture
def index_again(place, toy):
    def update(folder):
        options = IndexOptions(transcriber=ToneTranscriber())
        return update_library([folder], library=place, embedder=toy, options=options)

    return update


def test_times_are_shifted_without_decoding(tmp_path, place, index_again):
    metadata = {"creation_time": "2022-01-01T23:30:00.000000Z"}
    path = tmp_path / "videos" / "VID_20220102_083000.mkv"
    write_video(path, SCENES, begin=6, audio=True, tones=[(1, 2, 400)], subtitles=ENGLISH, metadata=metadata)
    index_again(path.parent)
    expected, files = rows(place), rows(place, "SELECT time FROM files")
    contents = "SELECT duration, taken, zone, segments FROM contents"
    expected_contents = rows(place, contents)
    assert {(start, origin) for _, origin, _, start, _ in expected} >= {(6.0, "file"), (7.0, "file")}
    pretend_version_1(
        place,
        'UPDATE segments SET start = start - 6, "end" = "end" - 6 WHERE origin = \'file\'',
        "UPDATE contents SET duration = duration - 6, taken = '2022-01-01T23:30:00', zone = '+00:00'",
        "UPDATE files SET time = '2022-01-01T23:30:00'",
    )
    report = index_again(path.parent)
    assert rows(place) == expected
    assert (rows(place, contents), rows(place, "SELECT time FROM files")) == (expected_contents, files)
    assert report.notes == ["1 video of an older version checked, and the times corrected."]
    assert index_again(path.parent).notes == []


def test_several_subtitle_tracks_are_read_again(tmp_path, place, index_again):
    path = tmp_path / "videos" / "a.mkv"
    write_video(
        path, SCENES, begin=6, audio=True, tones=[(1, 2, 400)], subtitles=ENGLISH, more_subtitles=[GERMAN]
    )
    index_again(path.parent)
    expected = rows(place)
    speech_ids = rows(place, "SELECT id FROM segments WHERE origin = 'speech'")
    assert [text for *_, text, _, _ in expected if text] == [
        "red apples.",
        "a green field and a red barn.",
        "ein Feld und ein Haus.",
    ]
    pretend_version_1(place, "UPDATE segments SET text = 'a green ein Feld' WHERE text LIKE 'ein%'")
    index_again(path.parent)
    assert rows(place) == expected
    assert rows(place, "SELECT id FROM segments WHERE origin = 'speech'") == speech_ids
    assert verify_library(place).errors == []
    with Library.open(place) as library:
        for (segment,) in rows(place, "SELECT id FROM segments WHERE kind = 'video'"):
            assert library.thumbnail(segment) is not None


def test_joined_video_is_read_and_transcribed_again(tmp_path, place, index_again):
    path = tmp_path / "videos" / "joined.ts"
    parts = [
        write_video(tmp_path / f"{name}.ts", SCENES, size=(96, 64), audio=True, tones=[(1, 2, hertz)])
        for name, hertz in (("a", 400), ("b", 800))
    ]
    path.parent.mkdir()
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    index_again(path.parent)
    expected = rows(place)
    assert len(expected) == 6
    pretend_version_1(
        place,
        "DELETE FROM vectors_1 WHERE segment IN (SELECT id FROM segments WHERE start > 5)",
        "DELETE FROM segments WHERE start > 5",
        "UPDATE contents SET segments = (SELECT count(*) FROM segments), duration = 6",
        "UPDATE segments SET text = 'blue lamp.' WHERE origin = 'speech'",
    )
    index_again(path.parent)
    assert rows(place) == expected
    assert rows(place, "SELECT duration > 12 FROM contents") == [(1,)]
    assert verify_library(place).errors == []


def test_images_with_the_suffix_of_a_video_keep_their_date(tmp_path, place, index_again):
    path = tmp_path / "videos" / "a.mov"
    path.parent.mkdir()
    exif = Image.Exif()
    exif[0x9003] = "2019:07:01 10:11:12"
    exif.get_ifd(0x8769)[0x9003] = "2019:07:01 10:11:12"
    Image.new("RGB", (64, 48), "red").save(path, "JPEG", exif=exif)
    index_again(path.parent)
    query = "SELECT decoder, taken FROM contents"
    expected = rows(place, query)
    assert expected == [("video", "2019-07-01T10:11:12")]
    pretend_version_1(place)
    index_again(path.parent)
    assert rows(place, query) == expected
