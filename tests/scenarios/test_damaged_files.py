"""Indexing of damaged, truncated and wrongly named files: they are read as far as possible, or reported."""

import io
import os
import shutil
import sqlite3
import threading
from collections import Counter
from contextlib import closing

import numpy as np
import pytest
from PIL import Image, ImageFile

from indexer import switch_library, verify_library
from indexer.decode import reader
from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.text.caption_rows import has_captions
from indexer.decode.text.encoding import decode_text
from indexer.store.analyses import locate, pending_contents
from indexer.store.writer import LibraryWriter
from retrieval import Library
from retrieval.catalog.schema import CATALOG_FILE
from retrieval.errors import MediaError
from retrieval.media.av.container import MEDIA_FORMATS, open_container
from retrieval.media.images.loader import load_image
from retrieval.media.limits import DecodeLimits
from tests.support import audio_files, document_files, image_files, video_files
from tests.support.archive_files import write_archive
from tests.support.catalog import downgrade_catalog, edit_catalog
from tests.support.files import draw_image, write_text
from tests.support.image_files import RED, encode_image, solid_image
from tests.support.toy_embedder import ToyEmbedder


def striped_image(size=(160, 120)) -> Image.Image:
    """Draw red above blue, with noise, so that the file size is proportional to the number of rows."""
    pixels = np.random.default_rng(1).integers(0, 12, (size[1], size[0], 3), np.uint8)
    pixels[: size[1] // 2, :, 0] += 240
    pixels[size[1] // 2 :, :, 2] += 240
    return Image.fromarray(pixels)


SAVE_OPTIONS = {
    "JPEG": {"quality": 95},
    "PNG": {},
    "WEBP": {"quality": 95},
    "BMP": {},
    "PPM": {},
    "TGA": {},
    "TIFF": {},
}


@pytest.mark.parametrize("format_name", SAVE_OPTIONS)
def test_truncated_image_is_read_up_to_the_truncation(format_name):
    is_bottom_up = format_name in ("BMP", "TGA")
    image = striped_image()
    if is_bottom_up:
        image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    data = encode_image(image, format_name, **SAVE_OPTIONS[format_name])
    pixels = np.asarray(load_image(io.BytesIO(data[: len(data) * 6 // 10])))
    rows = pixels[::-1] if is_bottom_up else pixels
    assert pixels.shape == (120, 160, 3)
    np.testing.assert_allclose(rows[5:45].mean(axis=(0, 1)), (245, 6, 6), atol=25)
    np.testing.assert_allclose(rows[-5:].mean(axis=(0, 1)), (128, 128, 128), atol=4)
    with pytest.raises(MediaError, match="damaged"):
        load_image(io.BytesIO(data[: len(data) // 10]))
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_truncated_progressive_jpeg_is_read_blurred():
    data = encode_image(striped_image(), "JPEG", quality=95, progressive=True)
    pixels = np.asarray(load_image(io.BytesIO(data[: len(data) // 2])))
    np.testing.assert_allclose(pixels[5:50].mean(axis=(0, 1)), (245, 6, 6), atol=12)
    np.testing.assert_allclose(pixels[70:].mean(axis=(0, 1)), (6, 6, 245), atol=12)


def test_truncated_webp_with_metadata_is_read_up_to_the_truncation():
    data = encode_image(striped_image(), "WEBP", quality=95, exif=Image.Exif(), icc_profile=b"x" * 300)
    pixels = np.asarray(load_image(io.BytesIO(data[: len(data) * 7 // 10])))
    np.testing.assert_allclose(pixels[5:45].mean(axis=(0, 1)), (245, 6, 6), atol=25)


def test_missing_rows_of_truncated_image_are_reported(tmp_path, index, place, toy):
    data = encode_image(striped_image(), "PNG")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "cut.png").write_bytes(data[: len(data) * 6 // 10])
    report = index(tmp_path / "images")
    assert (report.added, report.failed) == (1, 0)
    (note,) = report.notes
    assert note.startswith("cut.png: damaged: truncated, 5") and note.endswith(" % of its rows are read.")
    with Library.open(place, embedder=toy) as library:
        assert library.search("red")[0].score > 0.7


def test_truncated_images_are_read_independently_in_threads():
    data = encode_image(striped_image(), "PNG")
    outcomes: list[bool] = []

    def read(is_truncated: bool) -> None:
        for _ in range(20):
            try:
                load_image(io.BytesIO(data[: len(data) // 9] if is_truncated else data))
                outcomes.append(not is_truncated)
            except MediaError:
                outcomes.append(is_truncated)

    threads = [threading.Thread(target=read, args=(bool(n % 2),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [True] * 80


@pytest.mark.parametrize("mode", ["I;16", "F", "RGBA", "L"])
def test_large_image_is_reduced_during_conversion(mode):
    ramp = np.linspace(0, 255, 200 * 160).reshape(160, 200)
    if mode == "F":
        image = Image.fromarray(ramp.astype(np.float32))
    elif mode == "I;16":
        image = Image.fromarray((ramp * 257).astype(np.uint16))
    else:
        image = Image.fromarray(ramp.astype(np.uint8)).convert(mode)
    limits = DecodeLimits(large_image_pixels=1_000, band_pixels=1_500)
    reduced = load_image(io.BytesIO(encode_image(image, "TIFF")), min_side=40, limits=limits)
    assert reduced.size == (50, 40)
    expected = ramp.reshape(40, 4, 50, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(np.asarray(reduced)[:, :, 0], expected, atol=2)


RED_PDF, RED_DOCX = document_files.pdf([("red", "red words")]), document_files.docx("red words")
RED_PREVIEW = encode_image(solid_image(RED).resize((640, 480)), "JPEG")
MISNAMED_FILES = {  # name -> content, expected number of segments by kind
    "photo.mp4": (encode_image(solid_image(RED), "PNG"), {"image": 1}),
    "photo.mp3": (encode_image(solid_image(RED), "JPEG"), {"image": 1}),
    "photo.txt": (encode_image(solid_image(RED), "JPEG"), {"image": 1}),
    "photo.pdf": (image_files.heic(solid_image(RED)), {"image": 1}),
    "photo.docx": (image_files.rw2(RED_PREVIEW), {"image": 1}),
    "photo.m4a": (image_files.orf(RED_PREVIEW), {"image": 1}),
    "photo.mov": (image_files.raf(RED_PREVIEW), {"image": 1}),
    "words.jpg": (RED_PDF, {"page": 1, "text": 1}),
    "words.txt": (RED_PDF, {"page": 1, "text": 1}),
    "words.pdf": (RED_DOCX, {"text": 1}),
    "words.png": (b"{\\rtf1 red words}", {"text": 1}),
}


@pytest.mark.parametrize("name", MISNAMED_FILES)
def test_file_with_wrong_suffix_is_read_by_its_content(name, tmp_path, index, place, toy):
    data, kinds = MISNAMED_FILES[name]
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / name).write_bytes(data)
    report = index(tmp_path / "files", retry=True)
    assert (report.failed, report.kinds, report.notes) == (0, kinds, [])
    assert index(tmp_path / "files").unchanged == 1
    with Library.open(place, embedder=toy) as library:
        assert library.search("red")[0].score > 0.6


def test_video_with_wrong_suffix_is_indexed_and_embedded_for_a_new_model(tmp_path, index, place, toy):
    video = video_files.write_video(tmp_path / "x.mp4", [("red", 1)])
    (tmp_path / "files").mkdir()
    video.rename(tmp_path / "files" / "x.jpg")
    assert index(tmp_path / "files").kinds == {"video": 1}
    new_model = ToyEmbedder()
    new_model.fingerprint = "toy-2"
    report = switch_library("toy", library=place, embedder=new_model)
    assert (report.embedded, report.waiting) == (1, 0)


VISUAL_FILES = [name for name, (_, kinds) in MISNAMED_FILES.items() if kinds != {"text": 1}]


@pytest.mark.parametrize("name", VISUAL_FILES)
def test_analyses_take_a_file_with_wrong_suffix_by_its_content(name, tmp_path, index, place, toy):
    data, kinds = MISNAMED_FILES[name][0], Counter(MISNAMED_FILES[name][1])
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / name).write_bytes(data)
    index(tmp_path / "files")
    with LibraryWriter(place, lambda space: toy) as writer:
        db = writer.db.conn
        images, pages, sounds = (
            [found.decoder for found in locate(db, pending_contents(db, "ocr", "1", [decoder]))]
            for decoder in ("picture", "document", "sound")
        )
    assert (images, sounds) == (["picture"] * kinds["image"], [])
    assert pages == ["document"] * kinds["page"]


@pytest.mark.parametrize(
    ("suffix", "name"), [(".m4a", "talk.mp4"), (".m4a", "talk.mov"), (".mka", "talk.webm")]
)
def test_video_container_with_only_audio_is_indexed_as_audio(suffix, name, tmp_path, index, place, toy):
    audio = audio_files.write_audio(
        tmp_path / f"x{'.mka' if name.endswith('.webm') else '.m4a'}", tags={"title": "red song"}
    )
    (tmp_path / "files").mkdir()
    audio.rename(tmp_path / "files" / name)
    report = index(tmp_path / "files")
    assert (report.failed, report.kinds) == (0, {"audio": 1})
    with Library.open(place, embedder=toy) as library:
        (hit,) = library.search("red")
        assert (hit.kind, hit.start) == ("audio", 0.0) and hit.end == pytest.approx(1, abs=0.1)


def test_audio_decoder_does_not_follow_playlists(tmp_path):
    audio_files.write_audio(tmp_path / "secret.mp3")
    (tmp_path / "list.mp3").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path}/secret.mp3\n#EXT-X-ENDLIST\n"
    )
    with (
        (tmp_path / "list.mp3").open("rb") as file,
        pytest.raises(MediaError),
        open_container(file, MEDIA_FORMATS),
    ):
        pass


def test_truncated_document_is_read_up_to_the_truncation(tmp_path, index, place, toy):
    words = " ".join(f"w{number * 7919 % 10_007}" for number in range(4_000))
    files = {
        "a.docx": document_files.docx("red house", words),
        "b.odt": document_files.odt(f"<t:p>red house</t:p><t:p>{words}</t:p>"),
        "c.docx": document_files.docx("red house", words)[:200],
    }
    (tmp_path / "files").mkdir()
    for name, data in files.items():
        (tmp_path / "files" / name).write_bytes(data if len(data) < 700 else data[: len(data) * 3 // 4])
    report = index(tmp_path / "files")
    assert (report.added, report.failed) == (2, 1)
    note = "damaged: truncated, and read up to there."
    assert report.notes == [f"a.docx: {note}", f"b.odt: {note}"]
    with Library.open(place, embedder=toy) as library:
        assert {hit.path.name for hit in library.search("red", count=2)} == {"a.docx", "b.odt"}
        assert {failure.reason for failure in library.failures()} == {
            "damaged: truncated before its text",
            "read in part: damaged: truncated, and read up to there",
        }


def test_unnamed_and_duplicate_zip_members_do_not_hide_other_members(tmp_path, index):
    document = document_files.docx("red house")
    directory_start = document.index(b"PK\1\2")
    members, directory = document[:directory_start], document[directory_start:]
    unnamed_member = b"PK\3\4" + bytes(26)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.docx").write_bytes(unnamed_member + members + members + directory[:9])
    assert index(tmp_path / "files").added == 1


def test_frames_before_the_truncation_of_a_short_video_are_indexed(tmp_path, index, place, toy):
    video = video_files.write_video(
        tmp_path / "x.mp4", [("red", 3)], rate=1, movflags="frag_keyframe+empty_moov"
    )
    data = video.read_bytes()
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "cut.mp4").write_bytes(data[: len(data) - 20])
    report = index(tmp_path / "files")
    assert (report.failed, report.kinds) == (0, {"video": 1})


def test_utf16_and_utf32_text_is_read_without_byte_order_mark():
    assert decode_text("grün und blau".encode("utf-16-le")) == "grün und blau"
    assert decode_text("grün und blau".encode("utf-16-be")) == "grün und blau"
    assert decode_text("red".encode("utf-32")) == "red"
    with pytest.raises(MediaError, match="zero bytes"):
        decode_text(b"a\0\0\0b\0c\0\0" * 50)


@pytest.mark.parametrize(
    "prefix", [b"", b"\n\n", b"# made by hand\n", b'{"version": 1}\n', b"[1, 2]\nnull\n"]
)
def test_captions_in_json_lines_are_found_below_lines_without_captions(prefix):
    assert has_captions(prefix + b'{"image": "a.jpg", "caption": "red"}\n', ".jsonl")
    assert not has_captions(prefix + b'{"name": "a.jpg", "size": 4}\n', ".jsonl")


@pytest.mark.parametrize(
    ("data", "description"),
    [
        (b"<!DOCTYPE html><p>404", "a web page"),
        (b'{"error": 404}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        (b"export const a = 1;", "text"),
        (b"SQLite format 3\0", "a database"),
        (b"%!PS-Adobe-3.0", "PostScript"),
    ],
)
def test_failure_reason_names_the_recognized_type(data, description, tmp_path, index, place, toy):
    for name in ("a.jpg", "b.mp4", "c.mp3", "d.pdf"):
        (tmp_path / "files").mkdir(exist_ok=True)
        (tmp_path / "files" / name).write_bytes(data)
    assert index(tmp_path / "files").failed == 4
    with Library.open(place, embedder=toy) as library:
        reasons = sorted(failure.reason for failure in library.failures())
    for expected_type, reason in zip(("a PDF", "a video", "an audio file", "an image"), reasons, strict=True):
        assert reason.startswith(f"not {expected_type}: it seems to be {description}")


@pytest.fixture
def failing_pages(monkeypatch):
    """Return the pages of a text that cannot be read, a set to change; the other lines are red or blue."""
    pages = {1}

    def decode(file, suffix, context):
        lines = file.read().decode().split()
        drafts = [SegmentDraft("text", text=line) for n, line in enumerate(lines) if n not in pages]
        if not drafts:
            raise MediaError("no page can be read")
        return DecodedFile(drafts, note=f"{len(pages)} pages cannot be read" if pages else None)

    monkeypatch.setitem(reader.DECODERS, "text", decode)
    return pages


def reasons(place, toy):
    with Library.open(place, embedder=toy) as library:
        root = library.status().roots[0]
        return {each.path.name: each.reason for each in library.failures()}, root.partial


def texts(place, toy):
    with Library.open(place, embedder=toy) as library:
        return sorted(hit.text for hit in library.search("red", kind="text", count=20))


def test_file_that_was_read_in_part_is_listed_and_read_again_on_retry(
    tmp_path, index, place, toy, failing_pages
):
    write_text(tmp_path / "root" / "a.txt", "red blue green")
    index(tmp_path / "root")
    partly = ({"a.txt": "read in part: 1 pages cannot be read"}, 1)
    assert reasons(place, toy) == partly
    assert index().unchanged == 1
    (tmp_path / "root" / "a.txt").rename(tmp_path / "root" / "b.txt")
    assert index().moved == 1
    assert reasons(place, toy)[0] == {"b.txt": partly[0]["a.txt"]}
    failing_pages.clear()
    assert index().unchanged == 1
    assert texts(place, toy) == ["green", "red"]
    shutil.copyfile(tmp_path / "root" / "b.txt", tmp_path / "root" / "c.txt")
    assert index(retry=True).segments == 3
    assert texts(place, toy) == ["blue", "green", "red"]
    assert reasons(place, toy) == ({}, 0)
    report = index(retry=True)
    assert (report.unchanged, report.segments) == (2, 0)
    assert verify_library(place).errors == []


def test_failed_retry_keeps_what_was_read_in_part(tmp_path, index, place, toy, failing_pages):
    write_text(tmp_path / "root" / "a.txt", "red blue green")
    index(tmp_path / "root")
    failing_pages.update(range(3))
    assert index(retry=True).failed == 1
    assert texts(place, toy) == ["green", "red"]
    failing_pages.clear()
    index(retry=True)
    assert texts(place, toy) == ["blue", "green", "red"]


def test_file_in_an_archive_that_was_read_in_part_is_read_again_on_retry(
    tmp_path, index, place, toy, failing_pages
):
    write_archive(tmp_path / "root" / "a.zip", {"a.txt": b"red blue green"})
    index(tmp_path / "root", archives=True)
    failing_pages.clear()
    index(retry=True)
    assert texts(place, toy) == ["blue", "green", "red"]


def test_unreadable_folder_is_listed_until_it_can_be_read(folder, index, place, toy, monkeypatch):
    draw_image(folder / "locked" / "grey.png", (50, 50, 50))
    scandir = os.scandir

    def refuse(path):
        if os.fsencode(path).endswith(b"locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    report = index(folder)
    assert report.notes == [f"Cannot read {folder / 'locked'}."]
    assert reasons(place, toy)[0] == {"locked": "cannot be read: no permission, or a disk error"}
    monkeypatch.undo()
    index(folder)
    assert reasons(place, toy)[0] == {}


def segment_ids(place) -> list[tuple]:
    with closing(sqlite3.connect(place / CATALOG_FILE)) as db:
        return db.execute("SELECT id, content, ordinal, text FROM segments ORDER BY id").fetchall()


def test_retry_of_what_cannot_be_repaired_keeps_its_segments(tmp_path, index, place, toy, failing_pages):
    write_text(tmp_path / "root" / "a.txt", "red blue green")
    write_text(tmp_path / "root" / "copy.txt", "red blue green")
    index(tmp_path / "root")
    before = segment_ids(place)
    for _ in range(2):
        report = index(retry=True)
        assert (report.unchanged, report.updated, report.segments) == (2, 0, 0)
        assert segment_ids(place) == before
    failing_pages.clear()
    failing_pages.add(0)  # other pages
    assert index(retry=True).segments == 2
    assert segment_ids(place) != before
    assert verify_library(place).errors == []


def test_detected_encoding_is_no_partial_read(tmp_path, index, place, toy, monkeypatch):
    path = tmp_path / "root" / "film.ru.srt"
    path.parent.mkdir()
    path.write_bytes("1\n00:00:01,000 --> 00:00:02,000\nДа, red\n".encode("cp1251"))
    report = index(tmp_path / "root")
    assert report.notes == ["film.ru.srt: declares no encoding, and is read as cp1251."]
    assert reasons(place, toy) == ({}, 0)
    with Library.open(place, embedder=toy) as library:
        assert library.details(path).assumption == "declares no encoding, and is read as cp1251"
        assert [segment.text for segment in library.details(path).segments] == ["Да, red"]
    monkeypatch.setattr("indexer.decode.reader._hash", lambda *args: pytest.fail("read again"))
    assert index(retry=True).unchanged == 1


def test_detected_encodings_of_an_earlier_version_are_no_partial_reads(tmp_path, index, place, toy):
    for name in ("a.txt", "b.txt", "c.txt"):
        write_text(tmp_path / "root" / name, name)
    index(tmp_path / "root")
    downgrade_catalog(place, "26-followed-links")
    guess = "declares no encoding, and is read as koi8_r"
    notes = {"a.txt": guess, "b.txt": f"only the first 2 passages are read (the limit); {guess}"}
    notes["c.txt"] = "no frame rate in it; its times assume 23.976 frames a second"
    with edit_catalog(place) as db:
        for name, note in notes.items():
            query = "UPDATE contents SET note = ? WHERE id = (SELECT content FROM files WHERE path = ?)"
            db.execute(query, (note, name.encode()))
    index()
    assert reasons(place, toy)[0] == {"b.txt": "read in part: only the first 2 passages are read (the limit)"}
    with Library.open(place, embedder=toy) as library:
        assumed = [library.details(tmp_path / "root" / name).assumption for name in notes]
    assert assumed == [guess, guess, notes["c.txt"]]
