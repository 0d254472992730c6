"""What is damaged, cut short or under a wrong name gives what is in it, or a reason a person understands."""

import io
import threading

import numpy as np
import pytest
from PIL import Image, ImageFile

from indexer import switch_library
from indexer.decode.text.caption_rows import has_captions
from indexer.decode.text.encoding import decode_text
from retrieval import Library
from retrieval.errors import MediaError
from retrieval.media.av.container import MEDIA_FORMATS, open_container
from retrieval.media.images.loader import load_image
from tests.support import audio_files, document_files, image_files, video_files
from tests.support.image_files import RED, encode_image, solid_image
from tests.support.toy_embedder import ToyEmbedder


def striped(size=(160, 120)) -> Image.Image:
    """Draw red above blue, with noise so that a file breaks off where its rows do."""
    pixels = np.random.default_rng(1).integers(0, 12, (size[1], size[0], 3), np.uint8)
    pixels[: size[1] // 2, :, 0] += 240
    pixels[size[1] // 2 :, :, 2] += 240
    return Image.fromarray(pixels)


CUT = {
    "JPEG": {"quality": 95},
    "PNG": {},
    "WEBP": {"quality": 95},
    "BMP": {},
    "PPM": {},
    "TGA": {},
    "TIFF": {},
}


@pytest.mark.parametrize("form", CUT)
def test_a_picture_that_breaks_off_is_read_up_to_there(form):
    whole = striped().transpose(Image.Transpose.FLIP_TOP_BOTTOM) if form in ("BMP", "TGA") else striped()
    data = encode_image(whole, form, **CUT[form])
    seen = np.asarray(load_image(io.BytesIO(data[: len(data) * 6 // 10])))
    rows = seen[::-1] if form in ("BMP", "TGA") else seen
    assert seen.shape == (120, 160, 3)
    np.testing.assert_allclose(rows[5:45].mean(axis=(0, 1)), (245, 6, 6), atol=25)
    np.testing.assert_allclose(rows[-5:].mean(axis=(0, 1)), (128, 128, 128), atol=4)
    with pytest.raises(MediaError, match="damaged"):
        load_image(io.BytesIO(data[: len(data) // 10]))
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_progressive_jpeg_that_breaks_off_is_blurred():
    data = encode_image(striped(), "JPEG", quality=95, progressive=True)
    seen = np.asarray(load_image(io.BytesIO(data[: len(data) // 2])))
    np.testing.assert_allclose(seen[5:50].mean(axis=(0, 1)), (245, 6, 6), atol=12)
    np.testing.assert_allclose(seen[70:].mean(axis=(0, 1)), (6, 6, 245), atol=12)


def test_a_webp_with_metadata_that_breaks_off_is_read_up_to_there():
    data = encode_image(striped(), "WEBP", quality=95, exif=Image.Exif(), icc_profile=b"x" * 300)
    seen = np.asarray(load_image(io.BytesIO(data[: len(data) * 7 // 10])))
    np.testing.assert_allclose(seen[5:45].mean(axis=(0, 1)), (245, 6, 6), atol=25)


def test_what_is_missing_of_a_picture_is_said(tmp_path, index, place, toy):
    data = encode_image(striped(), "PNG")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "cut.png").write_bytes(data[: len(data) * 6 // 10])
    report = index(tmp_path / "pictures")
    assert (report.added, report.failed) == (1, 0)
    (note,) = report.notes
    assert note.startswith("cut.png: damaged: truncated, 5") and note.endswith(" % of its rows are read.")
    with Library.open(place, embedder=toy) as library:
        assert library.search("red")[0].score > 0.7


def test_pictures_are_rescued_in_threads_each_by_itself():
    data = encode_image(striped(), "PNG")
    found = list[bool]()

    def read(cut: bool) -> None:
        for _ in range(20):
            try:
                load_image(io.BytesIO(data[: len(data) // 9] if cut else data))
                found.append(not cut)
            except MediaError:
                found.append(cut)

    threads = [threading.Thread(target=read, args=(bool(n % 2),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 80


@pytest.mark.parametrize("mode", ["I;16", "F", "RGBA", "L"])
def test_a_large_picture_is_made_smaller_as_it_is_converted(mode, monkeypatch):
    monkeypatch.setattr("retrieval.media.images.pixels.LARGE_IMAGE_PIXELS", 1_000)
    monkeypatch.setattr("retrieval.media.images.pixels.BAND_PIXELS", 1_500)
    ramp = np.linspace(0, 255, 200 * 160).reshape(160, 200)
    pixels = ramp.astype(np.float32) if mode == "F" else (ramp * 257).astype(np.uint16)
    picture = (
        Image.fromarray(pixels)
        if mode in ("F", "I;16")
        else Image.fromarray(ramp.astype(np.uint8)).convert(mode)
    )
    seen = load_image(io.BytesIO(encode_image(picture, "TIFF")), min_side=40)
    assert seen.size == (50, 40)
    want = ramp.reshape(40, 4, 50, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(np.asarray(seen)[:, :, 0], want, atol=2)


RED_PDF, RED_DOCX = document_files.pdf([("red", "red words")]), document_files.docx("red words")
WRONG = {
    "photo.mp4": (encode_image(solid_image(RED), "PNG"), {"image": 1}),
    "photo.mp3": (encode_image(solid_image(RED), "JPEG"), {"image": 1}),
    "photo.txt": (encode_image(solid_image(RED), "JPEG"), {"image": 1}),
    "photo.pdf": (image_files.heic(solid_image(RED)), {"image": 1}),
    "words.jpg": (RED_PDF, {"page": 1, "text": 1}),
    "words.txt": (RED_PDF, {"page": 1, "text": 1}),
    "words.pdf": (RED_DOCX, {"text": 1}),
    "words.png": (b"{\\rtf1 red words}", {"text": 1}),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_under_a_wrong_name_is_read_as_what_it_is(name, tmp_path, index, place, toy):
    data, kinds = WRONG[name]
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / name).write_bytes(data)
    report = index(tmp_path / "files", tiles=True, retry=True)
    assert (report.failed, report.kinds, report.notes) == (0, kinds, [])
    assert index(tmp_path / "files").unchanged == 1
    with Library.open(place, embedder=toy) as library:
        assert library.search("red")[0].score > 0.6


def test_a_video_under_a_wrong_name_is_read_and_embedded_again(tmp_path, index, place, toy):
    video = video_files.write_video(tmp_path / "x.mp4", [("red", 1)])
    (tmp_path / "files").mkdir()
    video.rename(tmp_path / "files" / "x.jpg")
    assert index(tmp_path / "files").kinds == {"video": 1}
    other = ToyEmbedder()
    other.fingerprint = "toy-2"
    done = switch_library("toy", library=place, embedder=other)
    assert (done.embedded, done.waiting) == (1, 0)


@pytest.mark.parametrize(
    ("suffix", "name"), [(".m4a", "talk.mp4"), (".m4a", "talk.mov"), (".mka", "talk.webm")]
)
def test_a_video_of_sound_alone_is_a_sound(suffix, name, tmp_path, index, place, toy):
    sound = audio_files.write_audio(
        tmp_path / f"x{'.mka' if name.endswith('.webm') else '.m4a'}", tags={"title": "red song"}
    )
    (tmp_path / "files").mkdir()
    sound.rename(tmp_path / "files" / name)
    report = index(tmp_path / "files")
    assert (report.failed, report.kinds) == (0, {"audio": 1})
    with Library.open(place, embedder=toy) as library:
        (hit,) = library.search("red")
        assert (hit.kind, hit.start) == ("audio", 0.0) and hit.end == pytest.approx(1, abs=0.1)


def test_no_playlist_is_followed_by_what_reads_sounds(tmp_path):
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


def test_a_document_that_breaks_off_is_read_up_to_there(tmp_path, index, place, toy):
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
    said = "damaged: truncated, and read up to there."
    assert report.notes == [f"a.docx: {said}", f"b.odt: {said}"]
    with Library.open(place, embedder=toy) as library:
        assert {hit.path.name for hit in library.search("red", count=2)} == {"a.docx", "b.odt"}
        assert [failure.reason for failure in library.failures()] == ["damaged: truncated before its text"]


def test_members_without_a_name_or_named_twice_cost_no_others(tmp_path, index):
    whole = document_files.docx("red house")
    head, behind = whole[: whole.index(b"PK\1\2")], whole.index(b"PK\1\2")
    nameless = b"PK\3\4" + bytes(26)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.docx").write_bytes(nameless + head + head + whole[behind : behind + 9])
    assert index(tmp_path / "files").added == 1


def test_a_short_video_that_breaks_off_gives_the_frames_before(tmp_path, index, place, toy):
    film = video_files.write_video(
        tmp_path / "x.mp4", [("red", 3)], rate=1, movflags="frag_keyframe+empty_moov"
    )
    data = film.read_bytes()
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "cut.mp4").write_bytes(data[: len(data) - 20])
    report = index(tmp_path / "files")
    assert (report.failed, report.kinds) == (0, {"video": 1})


def test_text_in_two_bytes_a_letter_is_read_without_a_mark():
    assert decode_text("grün und blau".encode("utf-16-le")) == "grün und blau"
    assert decode_text("grün und blau".encode("utf-16-be")) == "grün und blau"
    assert decode_text("red".encode("utf-32")) == "red"
    with pytest.raises(MediaError, match="zero bytes"):
        decode_text(b"a\0\0\0b\0c\0\0" * 50)


@pytest.mark.parametrize("above", [b"", b"\n\n", b"# made by hand\n", b'{"version": 1}\n', b"[1, 2]\nnull\n"])
def test_captions_in_json_lines_are_found_below_what_is_none(above):
    assert has_captions(above + b'{"image": "a.jpg", "caption": "red"}\n', ".jsonl")
    assert not has_captions(above + b'{"name": "a.jpg", "size": 4}\n', ".jsonl")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<!DOCTYPE html><p>404", "a web page"),
        (b'{"error": 404}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        (b"export const a = 1;", "text"),
        (b"SQLite format 3\0", "a database"),
        (b"%!PS-Adobe-3.0", "PostScript"),
    ],
)
def test_a_reason_says_what_a_file_seems_to_be(data, words, tmp_path, index, place, toy):
    for name in ("a.jpg", "b.mp4", "c.mp3", "d.pdf"):
        (tmp_path / "files").mkdir(exist_ok=True)
        (tmp_path / "files" / name).write_bytes(data)
    assert index(tmp_path / "files").failed == 4
    with Library.open(place, embedder=toy) as library:
        reasons = sorted(failure.reason for failure in library.failures())
    for name, reason in zip(("a PDF", "a video", "an audio file", "an image"), reasons, strict=True):
        assert reason.startswith(f"not {name}: it seems to be {words}")
