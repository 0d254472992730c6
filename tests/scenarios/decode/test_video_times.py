"""Times in videos: one zero and one continuous clock for scenes, sound, text and clips."""

import av
import numpy as np
import pytest

from indexer.decode.audio.stream import audio_chunks
from indexer.decode.context import DecodeContext
from indexer.decode.video import decoder
from indexer.decode.video.frame_extraction import extract_scene_frames
from indexer.enrich.speech import SpeechAnalyzer
from indexer.store.analyses import PendingContent
from retrieval.media.av.clip import write_clip
from retrieval.media.av.container import MEDIA_FORMATS, open_container
from tests.support.audio_files import ToneTranscriber
from tests.support.toy_embedder import COLORS, ToyEmbedder
from tests.support.video_files import write_video

FIRST = [("red", 3.0), ("green", 3.0), ("blue", 4.0)]
SECOND = [("green", 3.0), ("blue", 3.0)]
MPEG2 = {"codec": "mpeg2video", "b": "2000000", "audio": "mp2"}
TONES = [(1, 2, 400), (4, 5, 800)]  # of each part
WORDS = ["red apples.", "green boat."]


def scenes_of(path) -> list[tuple[float, float, str]]:
    with path.open("rb") as file:
        found = decoder.decode(file, path.suffix, DecodeContext(ToyEmbedder()))
    drafts = [draft for draft in found.drafts if draft.kind == "video"]
    assert found.properties.duration == pytest.approx(drafts[-1].end, abs=0.001)
    return [(draft.start, draft.end, tuple(COLORS)[int(np.argmax(draft.vector))]) for draft in drafts]


def speech_of(path) -> list[tuple[float, str]]:
    analyzer = SpeechAnalyzer(ToneTranscriber(), ToyEmbedder())
    with path.open("rb") as file:
        units = [unit.analyze() for unit in analyzer.work_units(file, PendingContent(1, b"", "video", b""))]
    return [(draft.start, draft.text) for drafts in units for draft in drafts]


def assert_same_times(path, starts, colors, speech) -> None:
    """Assert that scenes, recognized frames, speech and clips of a file have these times."""
    scenes = scenes_of(path)
    assert [color for _, _, color in scenes] == colors
    np.testing.assert_allclose([start for start, _, _ in scenes], starts, atol=0.25)
    with path.open("rb") as file:
        frames = list(extract_scene_frames(file, [scene[:2] for scene in scenes], 64))
    assert [color_of(frame.image) for frame in frames] == colors
    assert [text for _, text in speech_of(path)] == [text for _, text in speech]
    np.testing.assert_allclose([start for start, _ in speech_of(path)], [s for s, _ in speech], atol=0.25)
    for number in {0, len(scenes) - 1}:
        start, end, color = scenes[number]
        for exact in (False, True):
            out = path.with_name(f"clip-{number}-{exact}.mkv")
            clip = write_clip(path, out, start, end, exact=exact)
            assert clip.start <= start + 0.001 and abs(clip.end - end) < 0.2
            with av.open(str(out)) as container:
                shown = [color_of(frame.to_image()) for frame in container.decode(video=0)]
            assert color in shown
            if exact:  # MPEG-2 may end one frame late
                assert shown.count(color) >= len(shown) - 1


def color_of(image) -> str:
    pixel = np.asarray(image.convert("RGB").resize((1, 1)), int)[0, 0]
    return min(COLORS, key=lambda name: abs(pixel - COLORS[name]).sum())


@pytest.mark.parametrize(
    ("suffix", "order"),
    [
        (".ts", "long-short"),
        (".ts", "short-long"),
        (".ts", "late-short"),
        (".ts", "wrap-short"),
        (".ts", "short-late-short-late"),
        (".m2ts", "late-short"),
        (".mpg", "short-late"),
        (".vob", "late-short"),
        (".mkv", "long-short"),
        (".mkv", "short-long"),
    ],
)
def test_joined_recordings_have_one_continuous_clock(tmp_path, suffix, order):
    offsets = {"long": 0, "short": 0, "late": 500, "wrap": 2**33 / 90_000 - 5}
    data, starts, colors, speech, begin = b"", [], [], [], 0.0
    for number, name in enumerate(order.split("-")):
        scenes = SECOND if name == "short" else FIRST
        offset = offsets[name] if suffix != ".mkv" else 0
        part = tmp_path / f"{number}{suffix}"
        settings = MPEG2 if suffix in (".mpg", ".vob") else {"audio": True}
        write_video(part, scenes, size=(96, 64), tones=TONES, offset=offset, **settings)
        data += part.read_bytes()
        for color, seconds in scenes:
            starts.append(begin)
            colors.append(color)
            begin += seconds
        speech += [
            (begin - sum(s for _, s in scenes) + start, word)
            for (start, _, _), word in zip(TONES, WORDS, strict=True)
        ]
    joined = tmp_path / f"joined{suffix}"
    joined.write_bytes(data)
    assert_same_times(joined, starts, colors, speech)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_pictures_that_begin_after_the_sound_keep_their_distance(tmp_path, suffix):
    path = write_video(tmp_path / f"late{suffix}", SECOND, begin=6, size=(96, 64), audio=True, tones=TONES)
    assert_same_times(path, [6, 9], ["green", "blue"], [(1, WORDS[0]), (4, WORDS[1])])


def test_subtitles_count_from_the_same_zero(tmp_path):
    cues = [(7, 8, "Green grass."), (10, 11, "Blue water.")]
    path = write_video(tmp_path / "a.mkv", SECOND, begin=6, size=(96, 64), audio=True, subtitles=cues)
    with path.open("rb") as file:
        drafts = decoder.decode(file, ".mkv", DecodeContext(ToyEmbedder())).drafts
    assert [(d.start, d.end, d.text) for d in drafts if d.kind == "text"] == [
        (7, 8, "Green grass."),
        (10, 11, "Blue water."),
    ]


def test_sound_has_the_same_times_whichever_streams_are_read(tmp_path):
    """The pictures of the first part last longer than its sound."""
    silent = write_video(
        tmp_path / "a.ts", FIRST, size=(96, 64), audio=True, audio_seconds=4, tones=TONES[:1]
    )
    path = tmp_path / "joined.ts"
    path.write_bytes(
        silent.read_bytes()
        + write_video(tmp_path / "b.ts", SECOND, size=(96, 64), audio=True, tones=TONES).read_bytes()
    )
    with path.open("rb") as file, open_container(file, MEDIA_FORMATS) as container:
        samples = np.concatenate([chunk.samples for chunk in audio_chunks(container)])
    loud = np.flatnonzero(np.abs(samples) > 0.1) / 16_000
    assert loud[0] == pytest.approx(1, abs=0.1)
    assert loud[loud > 3][0] == pytest.approx(11, abs=0.15)


def test_part_with_other_streams_is_reported(tmp_path):
    """Recordings of two devices may have other stream numbers; FFmpeg reads these as another video."""
    parts = [write_video(tmp_path / f"{name}.ts", SECOND, size=(96, 64)) for name in "ab"]
    other = tmp_path / "other.ts"
    with (
        av.open(str(parts[1])) as source,
        av.open(str(other), "w", options={"mpegts_start_pid": "600"}) as output,
    ):
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    path = tmp_path / "joined.ts"
    path.write_bytes(parts[0].read_bytes() + other.read_bytes())
    with path.open("rb") as file:
        found = decoder.decode(file, ".ts", DecodeContext(ToyEmbedder()))
    assert found.note == "it has 2 video streams, of which one is read"
