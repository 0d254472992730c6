"""Measure videos: how many times real time they are indexed, and whether scenes begin where they do.

    python tests/bench/bench_video.py --minutes 10

Drawn videos of 1920 x 1080, H.264 by libx264: scenes of some seconds that pan over soft shapes with grain
and a thing that moves, repeated to the length asked for. `usual`: as libx264 codes by itself, key frames at
cuts and at the latest every 250 frames; `every 2 s`, `every 1 s`: key frames at fixed times, as streams and
phones have them, wherever the cuts are. `x real time` is the video's length by the time that reading,
embedding with the built-in model and thumbnails take, `x on idle cores` by its processor time over all
cores, which others on the machine disturb less; `x decoding` the same of decoding every frame, in the same
run; `found` the share of cuts within a tenth of a second, `extra` how many begin where no scene does, `MB`
the peak of a fresh process. --smoke draws a few small seconds.
"""

import argparse
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import av
import numpy as np
from common import alone, cores, emit, machine, table, time_of
from PIL import Image

from indexer.decode.context import DecodeContext
from indexer.decode.video import decoder
from retrieval.embedders.registry import load_embedder

RATE = 30
CODINGS = {
    "usual": {},
    "every 2 s": {"x264-params": "keyint=60:scenecut=0"},
    "every 1 s": {"x264-params": "keyint=30:scenecut=0"},
}


def scene(size: tuple[int, int], draw: np.random.Generator) -> np.ndarray:
    """Draw a field to pan over: soft shapes of a few colours, and grain."""
    width, height = size[0] * 5 // 4, size[1] * 5 // 4
    palette = draw.integers(0, 256, (3, 3), np.uint8)
    small = Image.fromarray(palette[draw.integers(0, 3, draw.integers(3, 9, 2))])
    soft = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    return np.clip(soft + draw.integers(-5, 6, (height, width, 1), np.int16), 0, 255).astype(np.uint8)


def film(
    path: Path, size: tuple[int, int], lengths: Sequence[int], options: dict[str, str], seed: int
) -> None:
    """Draw scenes with this number of frames each."""
    draw = np.random.default_rng(seed)
    with av.open(str(path), "w") as made:
        stream = made.add_stream("libx264", rate=RATE, options={"preset": "veryfast", **options})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for length in lengths:
            field, thing = scene(size, draw), draw.integers(0, 256, 3)
            high, pan = size[1] // 5, draw.choice([-1, 0, 1], 2)
            for at in range(length):
                x, y = (size[axis] // 8 + int(pan[axis] * at * size[axis] / 2200) for axis in (0, 1))
                frame = field[y : y + size[1], x : x + size[0]].copy()
                left = (at * size[0] // 400) % (size[0] - high)
                frame[high : 2 * high, left : left + high] = thing
                made.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        made.mux(stream.encode(None))


def repeat(path: Path, out: Path, times: int, frames: int) -> None:
    """Write a video several times in a row, without coding it again."""
    with av.open(str(out), "w") as made:
        stream = None
        for number in range(times):
            with av.open(str(path)) as given:
                source = given.streams.video[0]
                stream = stream or made.add_stream_from_template(source)
                shift = round(Fraction(number * frames, RATE) / source.time_base)
                for packet in given.demux(source):
                    if packet.size:
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = stream
                        made.mux(packet)


def index(path: Path) -> dict[str, object]:
    """Read a video as the indexer does; a first one is read before, as a run loads its model once."""
    embedder, found = load_embedder("builtin"), []
    embedder.embed_images([np.zeros((128, 128, 3), np.uint8)])

    def read() -> None:
        with path.open("rb") as file:
            found.append(decoder.decode(file, path.suffix, DecodeContext(embedder)))

    took = time_of(read)
    starts = [draft.start for draft in found[0].drafts if draft.kind == "video"]
    return {
        "wall": took.wall,
        "cpu": took.cpu,
        "starts": starts,
        "peak": getrusage(RUSAGE_SELF).ru_maxrss / 1e3,
    }


def decode(path: Path, seconds: float) -> dict[str, float]:
    """Decode every frame of the first seconds, on all cores."""

    def read() -> None:
        with av.open(str(path)) as given:
            stream = given.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in given.decode(stream):
                if frame.time >= seconds:
                    return

    took = time_of(read)
    return {"wall": took.wall, "cpu": took.cpu}


def measure(name: str, place: Path, size: tuple[int, int], lengths: list[int], times: int, seed: int) -> dict:
    """Return the row of one way to code."""
    frames = sum(lengths)
    seconds = frames * times / RATE
    film(place / "once.mp4", size, lengths, CODINGS[name], seed)
    repeat(place / "once.mp4", place / "film.mp4", times, frames)
    ours = alone(index, place / "film.mp4")
    some = min(60.0, seconds)
    theirs = alone(decode, place / "film.mp4", some)
    begun = (np.cumsum([0, *lengths])[:-1][None] + frames * np.arange(times)[:, None]).ravel() / RATE
    starts = np.array(ours["starts"])
    away = np.abs(begun[:, None] - starts).min(axis=1)
    extra = int((np.abs(starts[:, None] - begun).min(axis=1) > 0.1).sum())
    return {
        "key frames": name,
        "minutes": seconds / 60,
        "MB/minute": (place / "film.mp4").stat().st_size / 1e6 / (seconds / 60),
        "x real time": seconds / ours["wall"],
        "x on idle cores": seconds * cores() / ours["cpu"],
        "decoding all": some / theirs["wall"],
        "x decoding": (seconds / ours["cpu"]) / (some / theirs["cpu"]),
        "scenes": len(begun),
        "found": float((away <= 0.1).mean()),
        "extra": extra,
        "MB": ours["peak"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    given = parser.parse_args()
    size, lengths = (1920, 1080), [107, 190, 61, 240, 133]
    if given.smoke:
        size, lengths, given.minutes = (320, 180), [50, 70], 0.2
    times = max(1, round(given.minutes * 60 * RATE / sum(lengths)))
    print(f"{machine()}; {size[0]} x {size[1]}, {RATE} frames a second, seed {given.seed}\n")
    rows = []
    for name in CODINGS:
        with tempfile.TemporaryDirectory(prefix="clew-bench-") as place:
            rows.append(measure(name, Path(place), size, lengths, times, given.seed))
    table(rows)
    emit("video", size=size, seed=given.seed, videos=rows)


if __name__ == "__main__":
    main()
