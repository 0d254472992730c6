"""Clips are copied from the key frame before their start, or transcoded from the exact frame."""

import json
import math
import zipfile
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import pytest
from PIL import Image

from indexer import IndexOptions, index_folder
from retrieval import Library
from retrieval.errors import MediaError, QueryError
from retrieval.media.av.clip import hit_time_range, write_clip
from retrieval.types import Hit
from tests.support.audio_files import add_cover, write_audio
from tests.support.files import draw_image
from tests.support.toy_embedder import COLORS
from tests.support.video_files import write_video

SCENES = [("red", 3.0), ("green", 2.4), ("blue", 3.6)]
REGULAR = {"x264-params": "keyint=50:scenecut=0"}  # a key frame every two seconds


def frames(path) -> list[tuple[float, str]]:
    """Return the time and the color of each frame."""
    with av.open(str(path)) as container:
        stream, origin, times_and_colors = container.streams.video[0], None, []
        for frame in container.decode(stream):
            origin = frame.pts if origin is None else origin
            pixel = frame.to_ndarray(format="rgb24")[frame.height // 2, frame.width // 2].astype(int)
            color = min(COLORS, key=lambda name: abs(pixel - COLORS[name]).sum())
            times_and_colors.append((round(float((frame.pts - origin) * stream.time_base), 3), color))
        return times_and_colors


def test_copied_clip_starts_at_the_key_frame_before(tmp_path):
    path = write_video(tmp_path / "a.mp4", SCENES, audio=True, **REGULAR)
    clip = write_clip(path, tmp_path / "out.mp4", 3.0, 5.4)
    assert (clip.start, clip.copied, clip.source) == (2.0, True, path)
    times_and_colors = frames(clip.path)
    assert times_and_colors[0] == (0.0, "red") and (1.0, "green") in times_and_colors
    assert clip.end == pytest.approx(5.4, abs=0.1)  # the last frames depend on later ones
    assert times_and_colors[-1][0] == pytest.approx(clip.end - clip.start, abs=0.05)
    with av.open(str(clip.path)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        assert container.duration / 1e6 == pytest.approx(3.4, abs=0.15)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_exact_clip_has_the_requested_times(tmp_path, suffix):
    path = write_video(tmp_path / "a.mp4", SCENES, audio=True, **REGULAR)
    clip = write_clip(path, tmp_path / f"out{suffix}", 3.0, 5.4, exact=True)
    assert (clip.start, clip.end, clip.copied) == (3.0, 5.4, False)
    times_and_colors = frames(clip.path)
    assert len(times_and_colors) == 60 and {color for _, color in times_and_colors} == {"green"}
    assert times_and_colors[-1][0] == pytest.approx(2.36, abs=0.001)


def test_unsupported_codec_of_the_output_format_is_transcoded(tmp_path):
    path = write_video(tmp_path / "a.mp4", SCENES, size=(96, 64))
    clip = write_clip(path, tmp_path / "out.webm", 3.0, 3.4)
    assert (clip.start, clip.end, clip.copied) == (3.0, 3.4, False)


def test_videos_with_late_starts_rotation_and_uneven_frames_are_cut_exactly(tmp_path):
    late = write_clip(
        write_video(tmp_path / "late.ts", SCENES, begin=7.0), tmp_path / "a.mp4", 3.0, 5.4, exact=True
    )
    assert (late.start, late.end) == (3.0, 5.4)
    turned = write_video(tmp_path / "turned.mov", SCENES, rotation=90)
    for exact in (False, True):
        clip = write_clip(turned, tmp_path / f"turned{exact}.mp4", 3.0, 5.4, exact=exact)
        with av.open(str(clip.path)) as container:
            assert next(container.decode(video=0)).rotation == 90
    steps = (15, 70, 40)
    uneven = write_video(tmp_path / "uneven.mkv", SCENES, steps=steps)
    clip = write_clip(uneven, tmp_path / "b.mkv", 0.125, 0.25, exact=True)
    assert [time for time, _ in frames(clip.path)] == [0.0, 0.015, 0.085]


def test_clip_command_takes_ids_and_printed_locations(tmp_path, clew):
    path = write_video(tmp_path / "videos" / "a.mp4", SCENES, **REGULAR)
    draw_image(tmp_path / "videos" / "photo.png")
    assert clew("index", "videos", "--model", "builtin").exit_code == 0
    _, second, _ = sorted(
        json.loads(clew("search", "colour", "--kind", "video", "--all", "--json").stdout),
        key=lambda hit: hit["start"],
    )
    clip = clew("clip", f"#{second['id']}", "out.mp4")
    assert (clip.exit_code, clip.stdout) == (0, "out.mp4\n")
    assert "00:02.0 to 00:05." in clip.stderr and "videos/a.mp4, copied" in clip.stderr
    again = clew("clip", second["id"], "out.mp4", "--exact")
    assert again.exit_code == 2 and "out.mp4 already exists" in again.stderr
    answer = json.loads(
        clew("clip", second["id"], "out.mp4", "--exact", "--force", "--around", 1, "--json").stdout
    )
    assert (answer["start"], answer["end"], answer["copied"], answer["source"]) == (
        2.0,
        6.4,
        False,
        str(path),
    )
    assert [color for _, color in frames("out.mp4")] == ["red"] * 25 + ["green"] * 60 + ["blue"] * 25
    (photo,) = json.loads(clew("search", "colour", "--kind", "image", "--all", "--json").stdout)
    for wrong, reason in (
        (photo["id"], "no times to cut at"),
        (999, "no segment #999"),
        ("x", "is not the location of a hit"),
    ):
        clip = clew("clip", wrong, "b.mp4")
        assert clip.exit_code == 2 and reason in clip.stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == ["library", "out.mp4", "videos"]
    shown = clew("clip", "videos/a.mp4 @ 00:03.0", "c.mkv")
    assert (shown.exit_code, shown.stdout) == (0, "c.mkv\n")
    for wrong in ("videos/a.mp4 @ 00:03.3", "videos/b.mp4 @ 00:02.0", "videos/photo.png @ 00:00.0"):
        assert "Nothing that was found begins in" in clew("clip", wrong, "d.mkv").stderr
    path.unlink()
    assert "does not exist" in clew("clip", second["id"], "b.mp4").stderr


def test_failed_clip_leaves_no_file(tmp_path):
    path = write_video(tmp_path / "a.mp4", SCENES[:1])
    with pytest.raises(MediaError, match=r"\.txt is not a format of clips; use one of \.mp4"):
        write_clip(path, tmp_path / "out.txt", 0, 1)
    with pytest.raises(MediaError, match="no frame in this time range"):
        write_clip(path, tmp_path / "out.mp4", 50, 60)
    with pytest.raises(QueryError, match="the source of the clip"):
        write_clip(path, path, 0, 1, force=True)
    with pytest.raises(QueryError, match="nowhere does not exist"):
        write_clip(path, tmp_path / "nowhere" / "out.mp4", 0, 1)
    with pytest.raises(QueryError, match="no suffix"):
        write_clip(path, tmp_path / "out", 0, 1)
    assert [each.name for each in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("suffix", [".mp3", ".wav", ".flac", ".m4a"])
def test_audio_clip_with_and_without_cover(tmp_path, suffix):
    audio = write_audio(tmp_path / f"a{suffix}", 4, [(1, 2, 400)])
    if suffix == ".mp3":
        cover = BytesIO()
        Image.new("RGB", (64, 64), "red").save(cover, "PNG")
        add_cover(audio, cover.getvalue())
    for exact in (False, True):
        clip = write_clip(audio, tmp_path / f"out{exact}{suffix}", 1, 2, exact=exact)
        assert clip.copied is not exact
        assert (clip.start, clip.end) == pytest.approx((1, 2), abs=0.1)
        with av.open(str(clip.path)) as container:
            assert [stream.type for stream in container.streams] == ["audio"]


def test_hit_in_an_archive_is_cut(tmp_path, place, toy):
    path = write_video(tmp_path / "a.mp4", SCENES, **REGULAR)
    archive = tmp_path / "videos" / "a.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as zip_file:
        zip_file.write(path, "in/a.mp4")
    index_folder(archive.parent, library=place, embedder=toy, options=IndexOptions(archives=True)).close()
    with Library.open(place, embedder=toy) as library:
        (hit, *_) = library.search("green", kind="video")
        assert hit.path == archive / "in" / "a.mp4"
        clip = library.clip(hit, tmp_path / "out.mp4", exact=True)
        with pytest.raises(QueryError, match="the source of the clip"):
            library.clip(hit, archive, force=True)
    assert (clip.start, clip.end, clip.source) == (3.0, 5.4, hit.path)
    assert {color for _, color in frames(clip.path)} == {"green"}


def test_library_clip_keeps_the_aspect_ratio(tmp_path, place, toy):
    path = write_video(tmp_path / "videos" / "a.mp4", SCENES, aspect=Fraction(4, 3))
    index_folder(path.parent, library=place, embedder=toy).close()
    with Library.open(place, embedder=toy) as library:
        (hit, *_) = library.search("green", kind="video")
        clip = library.clip(hit, tmp_path / "out.mp4", exact=True)
        assert (clip.start, clip.end) == (hit.start, hit.end) == (3.0, 5.4)
    with av.open(str(clip.path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def streams(path) -> dict[str, tuple[str, int]]:
    """Return the codec and the number of decoded frames of each stream, by type."""
    found = {}
    with av.open(str(path)) as container:
        types = [stream.type for stream in container.streams]
    for index, kind in enumerate(types):
        with av.open(str(path)) as container:
            stream = container.streams[index]
            count = sum(1 for _ in container.decode(stream))
            found[kind] = stream.codec_context.codec.canonical_name, count
    return found


@pytest.mark.parametrize(
    ("source", "codec", "suffix", "copied", "video"),
    [
        ("a.webm", "libvpx", ".ts", False, "h264"),  # FFmpeg writes VP8 into MPEG-TS, and nobody reads it
        ("a.webm", "libvpx", ".mp4", False, "h264"),
        ("a.webm", "libvpx", ".avi", False, "mpeg4"),
        ("a.webm", "libvpx", ".mkv", True, "vp8"),
        ("a.mp4", "libx264", ".TS", True, "h264"),
        ("a.mp4", "libx264", ".mov", True, "h264"),
        ("a.mp4", "libx264", ".webm", False, "vp9"),
        ("a.mkv", "mpeg4", ".avi", True, "mpeg4"),
    ],
)
def test_codecs_are_copied_only_into_formats_that_players_expect_them_in(
    tmp_path, source, codec, suffix, copied, video
):
    path = write_video(tmp_path / source, SCENES[:1], codec=codec, size=(96, 64))
    clip = write_clip(path, tmp_path / f"out{suffix}", 1.0, 2.0)
    assert clip.copied is copied
    ((kind, (name, count)),) = streams(clip.path).items()
    assert (kind, name) == ("video", video)
    assert count == pytest.approx(25 * (clip.end - clip.start), abs=3)


@pytest.mark.parametrize("suffix", [".ts", ".wav", ".mp3", ".opus", ".ogg", ".mka", ".aiff"])
def test_every_audio_clip_can_be_decoded(tmp_path, suffix):
    source = write_audio(tmp_path / "a.ogg", 4, [(0, 4, 400)])
    with av.open(str(source)) as container:
        source_codec = container.streams[0].codec_context.codec.canonical_name
    clip = write_clip(source, tmp_path / f"out{suffix}", 1, 3)
    ((kind, (codec, count)),) = streams(clip.path).items()
    assert kind == "audio" and count > 1
    assert clip.copied is (codec == source_codec)
    with av.open(str(clip.path)) as container:
        samples = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
    assert samples == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize("name", ["a.m3u8", "a.mpd", "a.jpg", "a%03d.png", "a.ism", "a.mxf"])
def test_formats_of_several_files_are_refused(tmp_path, name):
    path = write_video(tmp_path / "in" / "a.mp4", SCENES[:1], size=(96, 64))
    (tmp_path / "init-stream0.m4s").write_text("mine")
    with pytest.raises(MediaError, match="is not a format of clips"):
        write_clip(path, tmp_path / name, 0, 1, force=True)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in", "init-stream0.m4s"]
    assert (tmp_path / "init-stream0.m4s").read_text() == "mine"


def test_streams_that_a_clip_does_not_contain_are_named(tmp_path, clew):
    path = write_video(
        tmp_path / "videos" / "a.mp4", SCENES[:1], audio=True, subtitles=[(0.5, 2, "hello")], size=(96, 64)
    )
    assert write_clip(path, tmp_path / "a.mkv", 0, 2).left_out == ("subtitle stream 1 (mov_text)",)
    sound = write_clip(path, tmp_path / "a.flac", 0, 2)
    assert sound.left_out == ("video stream 0 (h264)", "subtitle stream 1 (mov_text)")
    assert set(streams(sound.path)) == {"audio"}
    assert clew("index", "videos", "--model", "builtin").exit_code == 0
    done = clew("clip", "videos/a.mp4 @ 00:00.0", "b.mp3")
    assert "Not in b.mp3: video stream 0 (h264), subtitle stream 1 (mov_text) of videos/a.mp4." in done.stderr
    silent = write_video(tmp_path / "silent.mp4", SCENES[:1], size=(96, 64))
    with pytest.raises(MediaError, match="audio only, and the source has none"):
        write_clip(silent, tmp_path / "c.mp3", 0, 1)


@pytest.mark.parametrize("around", [math.nan, math.inf, -1.0])
def test_invalid_seconds_around_a_hit_are_refused(around):
    hit = Hit(1, 0.5, "video", Path("a.mp4"), "space", start=1.0, end=2.0, timed=True)
    with pytest.raises(QueryError, match="Use 0 or more"):
        hit_time_range(hit, around)
