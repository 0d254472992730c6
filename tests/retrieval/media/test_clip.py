"""Moments cut out of a video: as they are from the key frame on, or coded anew from the very frame."""

import json
import zipfile
from fractions import Fraction
from io import BytesIO

import av
import pytest
from PIL import Image

from indexer import IndexOptions, index_folder
from retrieval import Library
from retrieval.errors import MediaError, QueryError
from retrieval.media.av.clip import write_clip
from tests.support.audio_files import add_cover, write_audio
from tests.support.files import draw_image
from tests.support.toy_embedder import COLORS
from tests.support.video_files import write_video

SCENES = [("red", 3.0), ("green", 2.4), ("blue", 3.6)]
REGULAR = {"x264-params": "keyint=50:scenecut=0"}  # a key frame every two seconds


def frames(path) -> list[tuple[float, str]]:
    """Return when each frame is shown, and its colour."""
    with av.open(str(path)) as given:
        stream, zero, seen = given.streams.video[0], None, []
        for frame in given.decode(stream):
            zero = frame.pts if zero is None else zero
            pixel = frame.to_ndarray(format="rgb24")[frame.height // 2, frame.width // 2].astype(int)
            colour = min(COLORS, key=lambda name: abs(pixel - COLORS[name]).sum())
            seen.append((round(float((frame.pts - zero) * stream.time_base), 3), colour))
        return seen


def test_a_clip_is_copied_from_the_key_frame_before_it(tmp_path):
    path = write_video(tmp_path / "a.mp4", SCENES, audio=True, **REGULAR)
    done = write_clip(path, tmp_path / "out.mp4", 3.0, 5.4)
    assert (done.start, done.copied, done.source) == (2.0, True, path)
    seen = frames(done.path)
    assert seen[0] == (0.0, "red") and (1.0, "green") in seen
    assert done.end == pytest.approx(5.4, abs=0.1)  # what is shown last takes later frames to decode
    assert seen[-1][0] == pytest.approx(done.end - done.start, abs=0.05)
    with av.open(str(done.path)) as made:
        assert [stream.type for stream in made.streams] == ["video", "audio"]
        assert made.duration / 1e6 == pytest.approx(3.4, abs=0.15)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_an_exact_clip_begins_and_ends_where_the_moment_does(tmp_path, suffix):
    path = write_video(tmp_path / "a.mp4", SCENES, audio=True, **REGULAR)
    done = write_clip(path, tmp_path / f"out{suffix}", 3.0, 5.4, exact=True)
    assert (done.start, done.end, done.copied) == (3.0, 5.4, False)
    seen = frames(done.path)
    assert len(seen) == 60 and {colour for _, colour in seen} == {"green"}
    assert seen[-1][0] == pytest.approx(2.36, abs=0.001)


def test_what_a_format_cannot_hold_is_coded_anew(tmp_path):
    path = write_video(tmp_path / "a.mp4", SCENES, size=(96, 64))
    done = write_clip(path, tmp_path / "out.webm", 3.0, 3.4)
    assert (done.start, done.end, done.copied) == (3.0, 3.4, False)


def test_late_turned_and_uneven_videos_are_cut_at_their_own_times(tmp_path):
    late = write_clip(
        write_video(tmp_path / "late.ts", SCENES, begin=7.0), tmp_path / "a.mp4", 3.0, 5.4, exact=True
    )
    assert (late.start, late.end) == (3.0, 5.4)
    turned = write_video(tmp_path / "turned.mov", SCENES, rotation=90)
    for exact in (False, True):
        done = write_clip(turned, tmp_path / f"turned{exact}.mp4", 3.0, 5.4, exact=exact)
        with av.open(str(done.path)) as made:
            assert next(made.decode(video=0)).rotation == 90
    steps = (15, 70, 40)
    uneven = write_video(tmp_path / "uneven.mkv", SCENES, steps=steps)
    done = write_clip(uneven, tmp_path / "b.mkv", 0.125, 0.25, exact=True)
    assert [time for time, _ in frames(done.path)] == [0.0, 0.015, 0.085]


def test_a_hit_is_cut_by_its_id(tmp_path, clew):
    path = write_video(tmp_path / "videos" / "a.mp4", SCENES, **REGULAR)
    draw_image(tmp_path / "videos" / "photo.png")
    assert clew("index", "videos", "--model", "builtin").exit_code == 0
    _, second, _ = sorted(
        json.loads(clew("search", "colour", "--kind", "video", "--all", "--json").stdout),
        key=lambda hit: hit["start"],
    )
    done = clew("clip", f"#{second['id']}", "out.mp4")
    assert (done.exit_code, done.stdout) == (0, "out.mp4\n")
    assert "00:02.0 to 00:05." in done.stderr and "videos/a.mp4, copied" in done.stderr
    again = clew("clip", second["id"], "out.mp4", "--exact")
    assert again.exit_code == 2 and "out.mp4 is there already; --force replaces it." in again.stderr
    told = json.loads(
        clew("clip", second["id"], "out.mp4", "--exact", "--force", "--around", 1, "--json").stdout
    )
    assert (told["start"], told["end"], told["copied"], told["source"]) == (2.0, 6.4, False, str(path))
    assert [colour for _, colour in frames("out.mp4")] == ["red"] * 25 + ["green"] * 60 + ["blue"] * 25
    (photo,) = json.loads(clew("search", "colour", "--kind", "image", "--all", "--json").stdout)
    for wrong, reason in (
        (photo["id"], "no times to cut at"),
        (999, "no segment #999"),
        ("x", "is no moment"),
    ):
        done = clew("clip", wrong, "b.mp4")
        assert done.exit_code == 2 and reason in done.stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == ["library", "out.mp4", "videos"]
    shown = clew("clip", "videos/a.mp4 @ 00:03.0", "c.mkv")
    assert (shown.exit_code, shown.stdout) == (0, "c.mkv\n")
    for wrong in ("videos/a.mp4 @ 00:03.3", "videos/b.mp4 @ 00:02.0", "videos/photo.png @ 00:00.0"):
        assert "Nothing that was found begins in" in clew("clip", wrong, "d.mkv").stderr
    path.unlink()
    assert "is not there now" in clew("clip", second["id"], "b.mp4").stderr


def test_a_clip_that_cannot_be_written_leaves_nothing(tmp_path):
    path = write_video(tmp_path / "a.mp4", SCENES[:1])
    with pytest.raises(MediaError, match=r"\.txt is no format that holds it; try \.mp4"):
        write_clip(path, tmp_path / "out.txt", 0, 1)
    with pytest.raises(MediaError, match="nothing of this moment"):
        write_clip(path, tmp_path / "out.mp4", 50, 60)
    with pytest.raises(QueryError, match="the very file"):
        write_clip(path, path, 0, 1, force=True)
    with pytest.raises(QueryError, match="no folder"):
        write_clip(path, tmp_path / "nowhere" / "out.mp4", 0, 1)
    with pytest.raises(QueryError, match="no suffix"):
        write_clip(path, tmp_path / "out", 0, 1)
    assert [each.name for each in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("suffix", [".mp3", ".wav", ".flac", ".m4a"])
def test_a_moment_of_a_sound_is_cut_whether_it_has_a_cover_or_not(tmp_path, suffix):
    sound = write_audio(tmp_path / f"a{suffix}", 4, [(1, 2, 400)])
    if suffix == ".mp3":
        cover = BytesIO()
        Image.new("RGB", (64, 64), "red").save(cover, "PNG")
        add_cover(sound, cover.getvalue())
    for exact in (False, True):
        done = write_clip(sound, tmp_path / f"out{exact}{suffix}", 1, 2, exact=exact)
        assert done.copied is not exact
        assert (done.start, done.end) == pytest.approx((1, 2), abs=0.1)
        with av.open(str(done.path)) as made:
            assert [stream.type for stream in made.streams] == ["audio"]


def test_a_hit_in_an_archive_is_cut(tmp_path, place, toy):
    path = write_video(tmp_path / "a.mp4", SCENES, **REGULAR)
    archive = tmp_path / "videos" / "a.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(path, "in/a.mp4")
    index_folder(archive.parent, library=place, embedder=toy, options=IndexOptions(archives=True)).close()
    with Library.open(place, embedder=toy) as library:
        (hit, *_) = library.search("green", kind="video")
        assert hit.path == archive / "in" / "a.mp4"
        done = library.clip(hit, tmp_path / "out.mp4", exact=True)
        with pytest.raises(QueryError, match="the very file"):
            library.clip(hit, archive, force=True)
    assert (done.start, done.end, done.source) == (3.0, 5.4, hit.path)
    assert {colour for _, colour in frames(done.path)} == {"green"}


def test_a_library_cuts_a_hit(tmp_path, place, toy):
    path = write_video(tmp_path / "videos" / "a.mp4", SCENES, aspect=Fraction(4, 3))
    index_folder(path.parent, library=place, embedder=toy).close()
    with Library.open(place, embedder=toy) as library:
        (hit, *_) = library.search("green", kind="video")
        done = library.clip(hit, tmp_path / "out.mp4", exact=True)
        assert (done.start, done.end) == (hit.start, hit.end) == (3.0, 5.4)
    with av.open(str(done.path)) as made:
        assert made.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
