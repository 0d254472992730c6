"""Write videos of plain or patterned scenes at known times, in many encodings."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tests.support.audio_files import Tone, tone_samples
from tests.support.toy_embedder import COLORS

FRAME_SIZE = (320, 180)
ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+
[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, Alignment
Style: Default,Arial,16,&Hffffff,2
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
Subtitle = tuple[float, float, str]  # start and end in seconds, text
Scene = tuple[str, float]  # a color of the toy embedder, "black", or a color and a shape; seconds


def scene_image(description: str, size=FRAME_SIZE) -> Image.Image:
    """Draw `red`, or `red circle` on white; any other word than a shape is drawn as text."""
    color, _, shape = description.partition(" ")
    fill = COLORS.get(color, (0, 0, 0))
    if description == "half":  # the upper half is red, the lower black
        image = Image.new("RGB", size)
        image.paste(COLORS["red"], (0, 0, size[0], size[1] // 2))
        return image
    if not shape:
        return Image.new("RGB", size, fill)
    image = Image.new("RGB", size, COLORS["white"])
    x, y = size[0] // 2, size[1] // 2
    radius = size[1] // 3
    box = (x - radius, y - radius, x + radius, y + radius)
    draw = ImageDraw.Draw(image)
    if shape in ("circle", "square"):
        {"circle": draw.ellipse, "square": draw.rectangle}[shape](box, fill=fill)
    else:
        draw.text((y // 9, y), shape, fill=fill, font=ImageFont.load_default(y // 2), anchor="lm")
    return image


def write_video(
    path: Path,
    scenes: Sequence[Scene],
    *,
    codec: str = "libx264",
    rate: int = 25,
    steps: Sequence[int] = (),
    begin: float = 0.0,
    rotation: int = 0,
    aspect: Fraction | None = None,
    size=FRAME_SIZE,
    subtitles: Sequence[Subtitle] = (),
    more_subtitles: Sequence[Sequence[Subtitle]] = (),
    audio: bool | str = False,
    audio_seconds: float | None = None,
    tones: Sequence[Tone] = (),
    offset: float = 0.0,
    metadata: dict[str, str] | None = None,
    **options: str,
) -> Path:
    """Write a video of scenes.

    `steps` are milliseconds between frames, repeated to the end; `begin` and `offset` are the seconds at
    which the video, and all streams, begin; `audio` may name a codec, and has a hum or `tones`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    muxer_options = {"output_ts_offset": str(offset)}
    muxer_options |= {"movflags": "use_metadata_tags"} if metadata else {}
    with av.open(str(path), "w", options=muxer_options) as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        time_base = Fraction(1, 1000) if steps else Fraction(1, rate)
        stream.codec_context.time_base = time_base
        if rotation:
            stream.set_display_rotation(rotation)
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        tracks = [track for track in (subtitles, *more_subtitles) if track]
        subtitle_codec = "mov_text" if path.suffix == ".mp4" else "srt"
        subtitle_streams = [container.add_stream(subtitle_codec) for _ in tracks]
        for subtitle_stream in subtitle_streams:
            subtitle_stream.codec_context.subtitle_header = ASS_HEADER
        audio_codec = audio if isinstance(audio, str) else "aac"
        audio_stream = container.add_stream(audio_codec, rate=48_000) if audio else None
        for time, description in frame_times(scenes, rate, steps):
            frame = av.VideoFrame.from_image(scene_image(description, size))
            frame.pts, frame.time_base = round((time + Fraction(begin)) / time_base), time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio_stream is not None:
            seconds = audio_seconds or sum(seconds for _, seconds in scenes)
            _encode_audio(container, audio_stream, seconds, tones)
        for subtitle_stream, track in zip(subtitle_streams, tracks, strict=True):
            for start, end, text in track:
                container.mux(_subtitle_packet(subtitle_stream, start, end, text))
    return path


def frame_times(scenes: Sequence[Scene], rate: int, steps: Sequence[int]) -> list[tuple[Fraction, str]]:
    """Return the time and the description of each frame."""
    frames, time, end, number = [], Fraction(0), Fraction(0), 0
    for description, seconds in scenes:
        end += Fraction(seconds).limit_denominator(1000)
        while time < end:
            frames.append((time, description))
            time += Fraction(steps[number % len(steps)], 1000) if steps else Fraction(1, rate)
            number += 1
    return frames


def scene_starts(scenes: Sequence[Scene], rate: int = 25, steps: Sequence[int] = ()) -> list[float]:
    """Return the time of the first frame of each scene, in seconds."""
    starts, previous = [], None
    for time, description in frame_times(scenes, rate, steps):
        if description != previous:
            starts.append(float(time))
            previous = description
    return starts


def _subtitle_packet(stream, start: float, end: float, text: str) -> av.Packet:
    data = text.encode()
    packet = av.Packet(len(data).to_bytes(2) + data if stream.codec_context.name == "mov_text" else data)
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts = packet.dts = round(1000 * start)
    packet.duration = round(1000 * (end - start))
    return packet


def _encode_audio(container, stream, seconds: float, tones: Sequence[Tone]) -> None:
    samples = np.sin(np.arange(round(48_000 * seconds)) / 20).astype(np.float32) / 10
    if tones:
        samples = tone_samples(seconds, tones)
    for begin in range(0, len(samples) - 1023, 1024):
        data = np.stack([samples[begin : begin + 1024]] * 2)
        frame = av.AudioFrame.from_ndarray(data, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, begin, Fraction(1, 48_000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
