"""Videos: scenes are found where they begin, however a video is coded, and by words and pictures."""

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
from retrieval.cli.hit_formats import as_tsv
from retrieval.errors import MediaError
from retrieval.formatting import format_location as shown
from tests.support.toy_embedder import ToyEmbedder
from tests.support.video_files import scene_image, scene_starts, write_video

SCENES = [("red", 3.0), ("green", 2.4), ("blue", 3.6)]
SHAPES = [("red circle", 3.0), ("blue square", 2.4), ("green circle", 3.6)]
LONG = {"x264-params": "keyint=infinite:scenecut=0"}  # one key frame, whatever happens


def decode(path: Path, embedder=None):
    with path.open("rb") as file:
        return decoder.decode(file, path.suffix, DecodeContext(embedder or ToyEmbedder()))


def moments(path: Path, embedder=None) -> list[tuple[float, float]]:
    return [(draft.start, draft.end) for draft in decode(path, embedder).drafts if draft.kind == "video"]


@pytest.mark.parametrize(
    ("name", "how"),
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
def test_every_scene_begins_at_its_first_frame(tmp_path, name, how):
    found = decode(write_video(tmp_path / name, SCENES, **how))
    vectors = np.array([draft.vector for draft in found.drafts])
    times = [(draft.start, draft.end) for draft in found.drafts]
    np.testing.assert_allclose(
        times, [(0, 3), (3, 5.4), (5.4, 9)], atol=0.045
    )  # .avi and .wmv end a frame early
    np.testing.assert_allclose([start for start, _ in times], [0, 3, 5.4], atol=0.001)
    np.testing.assert_allclose(vectors, np.eye(3), atol=0.02)


@pytest.mark.parametrize("how", [{}, LONG], ids=["key frames", "one key frame"])
def test_frames_of_any_length_have_their_own_times(tmp_path, how):
    steps = (15, 70, 40, 33, 90)
    path = write_video(tmp_path / "phone.mp4", SCENES, steps=steps, **how)
    np.testing.assert_allclose(
        [start for start, _ in moments(path)], scene_starts(SCENES, steps=steps), atol=0.001
    )


@pytest.mark.parametrize(
    "how",
    [{}, LONG, {"x264-params": "keyint=50:scenecut=0"}, {"steps": (15, 70, 40)}, {"rotation": 90}],
    ids=["usual", "one key frame", "key frames elsewhere", "frames of any length", "turned"],
)
def test_one_text_after_the_other_on_the_same_ground_is_a_scene_each(tmp_path, how):
    scenes = [("black HELLO", 3.0), ("black BICYCLE", 2.0), ("black INVOICE", 3.0), ("black SUNSET", 2.5)]
    path = write_video(tmp_path / "slides.mp4", scenes, **how)
    found = scene_starts(scenes, steps=how.get("steps", ()))
    np.testing.assert_allclose([start for start, _ in moments(path)], found, atol=0.001)
    assert len({draft.thumbnail for draft in decode(path).drafts}) == 4  # each shows its own text


def test_a_pointer_that_moves_over_a_still_picture_begins_no_scene(tmp_path):
    scenes = [("black HELLO", 2.0), ("black HELLO.", 0.4), ("black HELLO", 3.0)]
    assert len(moments(write_video(tmp_path / "pointer.mp4", scenes))) == 1


def test_a_scene_between_two_key_frames_is_seen(tmp_path):
    scenes = [("red", 1.2), ("green", 0.6), ("red", 2.2), ("blue", 0.5), ("red", 1.5)]
    path = write_video(tmp_path / "short.mp4", scenes, **LONG)
    np.testing.assert_allclose([start for start, _ in moments(path)], scene_starts(scenes), atol=0.001)


def test_black_is_no_scene_but_parts_those_beside_it(tmp_path):
    scenes = [("black", 1.0), ("red", 3.0), ("black", 1.2), ("red", 3.0), ("black", 2.0)]
    times = moments(write_video(tmp_path / "fade.mp4", scenes))
    np.testing.assert_allclose(times, [(1, 4), (5.2, 8.2)], atol=0.001)
    (only,) = moments(write_video(tmp_path / "black.mp4", [("black", 3.0)]))
    assert only == (0.0, 3.0)  # where there is nothing else, it can be found by its name


def test_pictures_are_upright_and_of_square_pixels(tmp_path):
    class Seeing(ToyEmbedder):
        def prepare(self, seen):
            self.seen = seen
            return super().prepare(seen)

    eye = Seeing()
    path = write_video(tmp_path / "turned.mp4", [("red circle", 1.0)], rotation=-90, aspect=Fraction(4, 3))
    details = decode(path, eye).properties
    assert (details.width, details.height) == (180, 427)
    width, height = eye.seen.size
    assert abs(width / height - 180 / 427) < 0.01
    assert eye.seen.getpixel((width // 2, height // 2))[0] > 200
    half = write_video(tmp_path / "half.mp4", [("half", 1.0)], rotation=90)
    decode(half, eye)
    left, right = (eye.seen.getpixel((x, eye.seen.height // 2)) for x in (5, eye.seen.width - 5))
    assert right[0] < 60 < 200 < left[0]  # red was above, and is turned a quarter against the clock


def test_a_video_says_when_where_and_with_what_it_was_taken(tmp_path):
    metadata = {
        "com.apple.quicktime.make": "Apple",
        "com.apple.quicktime.model": "iPhone 6",
        "com.apple.quicktime.creationdate": "2019-07-24T11:25:40+0300",
        "com.apple.quicktime.location.ISO6709": "+32.0929+034.8620+028.516/",
    }
    found = decode(write_video(tmp_path / "phone.mov", [("red", 1.0)], metadata=metadata)).properties
    assert (found.taken, found.zone, found.camera) == ("2019-07-24T11:25:40", "+03:00", "Apple iPhone 6")
    assert (found.latitude, found.longitude, found.duration) == (32.0929, 34.862, 1.0)


def test_a_thumbnail_is_of_the_scene(tmp_path):
    for draft, colour in zip(decode(write_video(tmp_path / "a.mp4", SCENES)).drafts, (0, 1, 2), strict=True):
        with Image.open(BytesIO(draft.thumbnail)) as small:
            assert (small.format, small.size) == ("WEBP", (320, 180))
            assert np.argmax(small.convert("RGB").getpixel((160, 90))) == colour


def test_moments_are_found_by_words_and_by_pictures(tmp_path):
    path = write_video(tmp_path / "videos" / "shapes.mp4", SHAPES)
    other = write_video(tmp_path / "videos" / "clip.mp4", SCENES)
    with index_folder(path.parent, library=tmp_path / "library", model="builtin") as library:
        for (what, _), start in zip(SHAPES, scene_starts(SHAPES), strict=True):
            (hit, *_) = library.search(image=scene_image(what), kind="video")
            assert (hit.path, round(hit.start, 1)) == (path, start)
            assert hit.score > 0.9
        for words, start, end in (("a red wall", 0, 3), ("green grass", 3, 5.4), ("the blue ocean", 5.4, 9)):
            hits = library.search(words, kind="video", under=str(other.parent))
            hit = next(hit for hit in hits if hit.path == other)
            assert (hit.start, hit.end) == (start, end)
        assert shown(hit) == f"{other} @ 00:05.4"
        assert as_tsv([hit]).split("\t")[2:] == [str(other), "", "@ 00:05.4\n"]


def test_copies_group_and_moments_that_follow_each_other_are_one_hit(tmp_path, index, place, toy):
    path = write_video(tmp_path / "videos" / "clip.mp4", SCENES)
    path.with_name("copy.mp4").write_bytes(path.read_bytes())
    report = index(path.parent)
    assert (report.added, report.segments) == (2, 3)
    from retrieval import Library

    with Library.open(place, embedder=toy) as library:
        (group,) = library.duplicates()
        assert (group.reason, [file.path.name for file in group.files]) == ("copy", ["clip.mp4", "copy.mp4"])
        (hit,) = library.search("red", kind="video", group=True)
        assert (hit.start, sorted(other.start for other in hit.more if other.path == hit.path)) == (
            0,
            [3, 5.4],
        )


def test_another_model_sees_the_same_moments(tmp_path, index, place, toy):
    class Other(ToyEmbedder):
        name, fingerprint = "other", "other-1"

        def embed_images(self, pictures):
            return super().embed_images(pictures)[:, ::-1].copy()  # blue, green, red

    index(write_video(tmp_path / "videos" / "long.mp4", SCENES, **LONG).parent)
    done = switch_library("other", library=place, embedder=Other())
    assert (done.embedded, done.waiting) == (3, 0)
    from retrieval import Library

    with Library.open(place, embedder=Other()) as library:
        hits = library.search("blue", kind="video", count=3)  # which it sees as red
        assert [(hit.start, round(hit.score, 2)) for hit in hits[:1]] == [(0.0, 1.0)]


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_what_there_is_of_a_cut_off_video_is_read(tmp_path, codec):
    whole = write_video(tmp_path / "whole.mkv", SCENES, codec=codec)
    data = whole.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) * 2 // 3])
    times = moments(cut)
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
def test_what_is_no_video_says_so(tmp_path, name, data, reason):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(MediaError) as caught:
        decode(path)
    assert reason in str(caught.value)


def test_a_title_that_is_no_utf8_costs_no_video(tmp_path):
    path = write_video(tmp_path / "a.avi", SCENES[:1], codec="mpeg4", metadata={"title": "Cafe noir"})
    data = path.read_bytes()
    assert b"Cafe" in data
    path.write_bytes(data.replace(b"Cafe", b"Caf\xe9"))
    assert [start for start, _ in moments(path)] == [0]


def test_a_recording_that_was_never_closed_says_so(tmp_path):
    data = write_video(tmp_path / "a.mp4", SCENES).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: data.rindex(b"moov") - 4])
    with pytest.raises(MediaError, match="its index"):
        decode(path)


def test_sound_alone_has_no_picture(tmp_path):
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


def test_a_video_under_another_name_is_read_and_none_stays_open(tmp_path, index):
    write_video(tmp_path / "videos" / "a.mp4", SCENES).rename(tmp_path / "videos" / "really-mp4.avi")
    (tmp_path / "videos" / "b.mp4").write_bytes(b"no video")
    Image.new("RGB", (9, 9)).save(tmp_path / "videos" / "c.png")
    (tmp_path / "videos" / "c.png").rename(tmp_path / "videos" / "c.mov")
    report = index(tmp_path / "videos")
    assert (report.added, report.failed, report.segments) == (2, 1, 4)  # the picture is read as what it is
    gc.collect()
    names = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.exists()]
    assert not [name for name in names if str(tmp_path / "videos") in name]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_damage_is_fatal(damaged, data):
    harmed = bytearray(damaged)
    for _ in range(data.draw(st.integers(1, 20))):
        harmed[data.draw(st.integers(0, len(harmed) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decoder.decode(BytesIO(bytes(harmed)), ".mp4", DecodeContext(ToyEmbedder()))
    except MediaError as error:
        assert str(error)
    else:
        assert all(0 <= draft.start <= draft.end for draft in found.drafts)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> bytes:
    path = write_video(
        tmp_path_factory.mktemp("harm") / "a.mp4", [("red", 0.5), ("green", 0.5)], size=(64, 48)
    )
    return path.read_bytes()


def test_a_video_that_grew_is_read_anew(tmp_path, place, toy):
    path = write_video(tmp_path / "videos" / "a.mp4", SCENES[:1])
    update_library([path.parent], library=place, embedder=toy)
    write_video(path, SCENES)
    report = update_library([path.parent], library=place, embedder=toy)
    assert (report.updated, report.segments) == (1, 3)
