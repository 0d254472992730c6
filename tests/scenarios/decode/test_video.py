"""Videos: scenes start at their first frames in every encoding, and are found by text and image."""

import gc
import os
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from indexer import index_folder, switch_library, update_library
from indexer.decode.context import DecodeContext
from indexer.decode.video import decoder
from retrieval import SearchOptions
from retrieval.cli.hits.formats import as_tsv
from retrieval.errors import MediaError
from retrieval.formatting import format_location as shown
from retrieval.system import processor_description
from tests.support.toy_embedder import ToyEmbedder
from tests.support.video_files import scene_image, scene_starts, write_video

SCENES = [("red", 3.0), ("green", 2.4), ("blue", 3.6)]
SHAPES = [("red circle", 3.0), ("blue square", 2.4), ("green circle", 3.6)]
LONG = {"x264-params": "keyint=infinite:scenecut=0"}  # a single key frame, even at cuts


def decode(path: Path, embedder=None):
    with path.open("rb") as file:
        return decoder.decode(file, path.suffix, DecodeContext(embedder or ToyEmbedder()))


def scene_times(path: Path, embedder=None) -> list[tuple[float, float]]:
    return [(draft.start, draft.end) for draft in decode(path, embedder).drafts if draft.kind == "video"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("usual.mp4", {}),
        ("one-key-frame.mp4", LONG),
        ("key-frames-elsewhere.mkv", {"x264-params": "keyint=50:scenecut=0:bframes=3"}),
        ("a-key-frame-a-second.mov", {"x264-params": "keyint=25:scenecut=0:open-gop=1"}),
        ("without-b-frames.flv", {"tune": "zerolatency"}),
        ("mpeg4.avi", {"codec": "mpeg4"}),
        ("late.ts", {"begin": 4.2}),
        ("late.mkv", {"begin": 5.0}),
        ("mpeg2.mpg", {"codec": "mpeg2video", "b": "2000000"}),
        ("vp8.webm", {"codec": "libvpx", "deadline": "realtime", "cpu-used": "8", "size": (96, 64)}),
        ("windows.wmv", {"codec": "wmv2"}),
        ("turned.mp4", {"rotation": 90}),
    ],
)
def test_scenes_start_at_their_first_frames(tmp_path, name, options):
    found = decode(write_video(tmp_path / name, SCENES, **options))
    vectors = np.array([draft.vector for draft in found.drafts])
    times = [(draft.start, draft.end) for draft in found.drafts]
    np.testing.assert_allclose(
        times, [(0, 3), (3, 5.4), (5.4, 9)], atol=0.045
    )  # .avi and .wmv end one frame early
    np.testing.assert_allclose([start for start, _ in times], [0, 3, 5.4], atol=0.001)
    np.testing.assert_allclose(vectors, np.eye(3), atol=0.02)


@pytest.mark.parametrize("options", [{}, LONG], ids=["key frames", "one key frame"])
def test_scenes_of_variable_frame_rate_start_at_their_first_frames(tmp_path, options):
    steps = (15, 70, 40, 33, 90)
    path = write_video(tmp_path / "phone.mp4", SCENES, steps=steps, **options)
    np.testing.assert_allclose(
        [start for start, _ in scene_times(path)], scene_starts(SCENES, steps=steps), atol=0.001
    )


@pytest.mark.parametrize(
    "options",
    [{}, LONG, {"x264-params": "keyint=50:scenecut=0"}, {"steps": (15, 70, 40)}, {"rotation": 90}],
    ids=["usual", "one key frame", "key frames elsewhere", "variable frame rate", "rotated"],
)
def test_texts_on_the_same_background_are_separate_scenes(tmp_path, options):
    scenes = [("black HELLO", 3.0), ("black BICYCLE", 2.0), ("black INVOICE", 3.0), ("black SUNSET", 2.5)]
    path = write_video(tmp_path / "slides.mp4", scenes, **options)
    expected = scene_starts(scenes, steps=options.get("steps", ()))
    np.testing.assert_allclose([start for start, _ in scene_times(path)], expected, atol=0.001)
    assert len({draft.thumbnail for draft in decode(path).drafts}) == 4  # one for each text


def test_pointer_movement_does_not_start_a_scene(tmp_path):
    scenes = [("black HELLO", 2.0), ("black HELLO.", 0.4), ("black HELLO", 3.0)]
    assert len(scene_times(write_video(tmp_path / "pointer.mp4", scenes))) == 1


def test_scenes_between_key_frames_are_found(tmp_path):
    scenes = [("red", 1.2), ("green", 0.6), ("red", 2.2), ("blue", 0.5), ("red", 1.5)]
    path = write_video(tmp_path / "short.mp4", scenes, **LONG)
    np.testing.assert_allclose([start for start, _ in scene_times(path)], scene_starts(scenes), atol=0.001)


def test_black_frames_separate_scenes_but_are_not_scenes(tmp_path):
    scenes = [("black", 1.0), ("red", 3.0), ("black", 1.2), ("red", 3.0), ("black", 2.0)]
    times = scene_times(write_video(tmp_path / "fade.mp4", scenes))
    np.testing.assert_allclose(times, [(1, 4), (5.2, 8.2)], atol=0.001)
    (only,) = scene_times(write_video(tmp_path / "black.mp4", [("black", 3.0)]))
    assert only == (0.0, 3.0)  # a black video keeps its scene


def test_frames_are_upright_with_square_pixels(tmp_path):
    class RecordingEmbedder(ToyEmbedder):
        def prepare(self, image):
            self.image = image
            return super().prepare(image)

    embedder = RecordingEmbedder()
    path = write_video(tmp_path / "turned.mp4", [("red circle", 1.0)], rotation=-90, aspect=Fraction(4, 3))
    properties = decode(path, embedder).properties
    assert (properties.width, properties.height) == (180, 427)
    width, height = embedder.image.size
    assert abs(width / height - 180 / 427) < 0.01
    assert embedder.image.getpixel((width // 2, height // 2))[0] > 200
    half = write_video(tmp_path / "half.mp4", [("half", 1.0)], rotation=90)
    decode(half, embedder)
    left, right = (
        embedder.image.getpixel((x, embedder.image.height // 2)) for x in (5, embedder.image.width - 5)
    )
    assert right[0] < 60 < 200 < left[0]  # red was at the top before the rotation


def test_capture_time_location_and_camera_are_read(tmp_path):
    metadata = {
        "com.apple.quicktime.make": "Apple",
        "com.apple.quicktime.model": "iPhone 6",
        "com.apple.quicktime.creationdate": "2019-07-24T11:25:40+0300",
        "com.apple.quicktime.location.ISO6709": "+32.0929+034.8620+028.516/",
    }
    found = decode(write_video(tmp_path / "phone.mov", [("red", 1.0)], metadata=metadata)).properties
    assert (found.taken, found.zone, found.camera) == ("2019-07-24T11:25:40", "+03:00", "Apple iPhone 6")
    assert (found.latitude, found.longitude, found.duration) == (32.0929, 34.862, 1.0)


def test_thumbnail_shows_its_scene(tmp_path):
    for draft, channel in zip(decode(write_video(tmp_path / "a.mp4", SCENES)).drafts, (0, 1, 2), strict=True):
        with Image.open(BytesIO(draft.thumbnail)) as small:
            assert (small.format, small.size) == ("WEBP", (320, 180))
            assert np.argmax(small.convert("RGB").getpixel((160, 90))) == channel


def test_thumbnails_are_not_made_if_they_are_off(tmp_path):
    path = write_video(tmp_path / "a.mp4", SCENES)
    with path.open("rb") as file:
        found = decoder.decode(file, ".mp4", DecodeContext(ToyEmbedder(), thumbnails=False))
    assert {draft.thumbnail for draft in found.drafts} == {None}


def test_scenes_are_found_by_text_and_image(tmp_path):
    path = write_video(tmp_path / "videos" / "shapes.mp4", SHAPES)
    other = write_video(tmp_path / "videos" / "clip.mp4", SCENES)
    # Without VNNI, sums of 8-bit products saturate: the least score is 0.86 then.
    least = 0.9 if "vnni" in processor_description() else 0.85
    with index_folder(path.parent, library=tmp_path / "library", model="builtin") as library:
        for (description, _), start in zip(SHAPES, scene_starts(SHAPES), strict=True):
            (hit, *_) = library.search(image=scene_image(description), kind="video")
            assert (hit.path, round(hit.start, 1)) == (path, start)
            assert hit.score > least
        for words, start, end in (("a red wall", 0, 3), ("green grass", 3, 5.4), ("the blue ocean", 5.4, 9)):
            hits = library.search(words, kind="video", options=SearchOptions(under=str(other.parent)))
            hit = next(hit for hit in hits if hit.path == other)
            assert (hit.start, hit.end) == (start, end)
        assert shown(hit) == f"{other} @ 00:05.4"
        columns = as_tsv([hit]).rstrip("\n").split("\t")
        assert columns[2:] == [str(other), "", "@ 00:05.4", f"{hit.confidence:.2f}", f"#{hit.id}"]


def test_copies_are_duplicates_and_scenes_of_a_video_are_grouped(tmp_path, index, place, toy):
    path = write_video(tmp_path / "videos" / "clip.mp4", SCENES)
    path.with_name("copy.mp4").write_bytes(path.read_bytes())
    report = index(path.parent)
    assert (report.added, report.segments) == (2, 3)
    from retrieval import Library

    with Library.open(place, embedder=toy) as library:
        (group,) = library.duplicates()
        assert (group.reason, [file.path.name for file in group.files]) == ("copy", ["clip.mp4", "copy.mp4"])
        (hit,) = library.search("red", kind="video", options=SearchOptions(group=True))
        assert (hit.start, sorted(other.start for other in hit.more if other.path == hit.path)) == (
            0,
            [3, 5.4],
        )


def test_switch_to_another_model_keeps_the_scenes(tmp_path, index, place, toy):
    class OtherEmbedder(ToyEmbedder):
        name, fingerprint = "other", "other-1"

        def embed_images(self, pictures):
            return super().embed_images(pictures)[:, ::-1].copy()  # blue, green, red

    index(write_video(tmp_path / "videos" / "long.mp4", SCENES, **LONG).parent)
    done = switch_library("other", library=place, embedder=OtherEmbedder())
    assert (done.embedded, done.waiting) == (3, 0)
    from retrieval import Library

    with Library.open(place, embedder=OtherEmbedder()) as library:
        hits = library.search("blue", kind="video", count=3)  # the other model swaps red and blue
        assert [(hit.start, round(hit.score, 2)) for hit in hits[:1]] == [(0.0, 1.0)]


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_truncated_video_is_read_up_to_its_end(tmp_path, codec):
    complete = write_video(tmp_path / "complete.mkv", SCENES, codec=codec)
    data = complete.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) * 2 // 3])
    times = scene_times(cut)
    assert times[0][0] == 0 and 3.0 in [start for start, _ in times]
    assert times[-1][1] < 9


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("empty.mp4", b"", "empty file"),
        ("zeros.mp4", bytes(5000), "not a video: it begins with zero bytes"),
        ("code.ts", b"import { a } from 'b';\n" * 99, "not a video: it begins with b'import {'"),
        ("list.mkv", b"#EXTM3U\n#EXTINF:10,\n/etc/passwd\n#EXT-X-ENDLIST\n", "not a video"),
        ("list.avi", b"ffconcat version 1.0\nfile other.mp4\n", "not a video"),
    ],
)
def test_other_files_are_rejected_with_a_reason(tmp_path, name, data, reason):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(MediaError) as caught:
        decode(path)
    assert reason in str(caught.value)


def test_video_with_an_invalid_title_is_read(tmp_path):
    path = write_video(tmp_path / "a.avi", SCENES[:1], codec="mpeg4", metadata={"title": "Cafe noir"})
    data = path.read_bytes()
    assert b"Cafe" in data
    path.write_bytes(data.replace(b"Cafe", b"Caf\xe9"))
    assert [start for start, _ in scene_times(path)] == [0]


def test_unfinished_recording_is_rejected_with_a_reason(tmp_path):
    data = write_video(tmp_path / "a.mp4", SCENES).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: data.rindex(b"moov") - 4])
    with pytest.raises(MediaError, match="its index"):
        decode(path)


def test_video_file_with_audio_only_is_rejected(tmp_path):
    import av

    path = tmp_path / "voice.mp4"
    with av.open(str(path), "w") as made:
        stream = made.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 48_000
        made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    with pytest.raises(MediaError, match="no video in it, only audio"):
        decode(path)


def test_videos_with_wrong_suffixes_are_read_and_all_files_are_closed(tmp_path, index):
    write_video(tmp_path / "videos" / "a.mp4", SCENES).rename(tmp_path / "videos" / "really-mp4.avi")
    (tmp_path / "videos" / "b.mp4").write_bytes(b"no video")
    Image.new("RGB", (9, 9)).save(tmp_path / "videos" / "c.png")
    (tmp_path / "videos" / "c.png").rename(tmp_path / "videos" / "c.mov")
    report = index(tmp_path / "videos")
    assert (report.added, report.failed, report.segments) == (2, 1, 4)  # the image is read as an image
    gc.collect()
    names = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.exists()]
    assert not [name for name in names if str(tmp_path / "videos") in name]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_damaged_video_raises_only_media_errors(damaged, data):
    corrupted = bytearray(damaged)
    for _ in range(data.draw(st.integers(1, 20))):
        corrupted[data.draw(st.integers(0, len(corrupted) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decoder.decode(BytesIO(bytes(corrupted)), ".mp4", DecodeContext(ToyEmbedder()))
    except MediaError as error:
        assert str(error)
    else:
        assert all(0 <= draft.start <= draft.end for draft in found.drafts)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> bytes:
    path = write_video(
        tmp_path_factory.mktemp("damaged") / "a.mp4", [("red", 0.5), ("green", 0.5)], size=(64, 48)
    )
    return path.read_bytes()


def test_replaced_video_is_read_again(tmp_path, place, toy):
    path = write_video(tmp_path / "videos" / "a.mp4", SCENES[:1])
    update_library([path.parent], library=place, embedder=toy)
    write_video(path, SCENES)
    report = update_library([path.parent], library=place, embedder=toy)
    assert (report.updated, report.segments) == (1, 3)


def test_video_is_filed_under_its_local_date(tmp_path, index, place, toy):
    metadata = {"creation_time": "2022-01-01T23:30:00.000000Z"}
    path = write_video(tmp_path / "videos" / "VID_20220102_083000.mp4", SCENES[:1], metadata=metadata)
    index(path.parent)
    from retrieval import Library, SearchOptions

    with Library.open(place, embedder=toy) as library:
        (hit,) = library.search("red", options=SearchOptions(date="2022-01-02"))
    assert hit.time == "2022-01-02T08:30:00"
