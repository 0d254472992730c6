"""Measure videos: the speed of indexing relative to real time, and the accuracy of scene starts.

    python tests/bench/bench_video.py --minutes 10

The videos are drawn, 1920 x 1080, H.264 by libx264: scenes of some seconds that pan over soft shapes with
grain and a moving square, repeated to the requested length. `default`: as libx264 encodes by default, key
frames at cuts and at least every 250 frames; `every 2 s`, `every 1 s`: key frames at fixed times, as in
streams and videos of phones, wherever the cuts are. `x real time` is the duration divided by the time of
decoding, embedding with the built-in model and thumbnails; `x on idle cores` the duration divided by the
processor time over all cores, which other processes disturb less; `x decoding` the ratio to decoding every
frame, in the same run; `found` the share of cuts within a tenth of a second of a scene start; `extra` the
number of scene starts without a cut; `MB` the peak memory of a new process. --smoke draws small videos.
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
ENCODINGS = {
    "default": {},
    "every 2 s": {"x264-params": "keyint=60:scenecut=0"},
    "every 1 s": {"x264-params": "keyint=30:scenecut=0"},
}


def scene(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw an image to pan over: soft shapes of a few colors, and grain."""
    width, height = size[0] * 5 // 4, size[1] * 5 // 4
    palette = rng.integers(0, 256, (3, 3), np.uint8)
    small = Image.fromarray(palette[rng.integers(0, 3, rng.integers(3, 9, 2))])
    soft = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    return np.clip(soft + rng.integers(-5, 6, (height, width, 1), np.int16), 0, 255).astype(np.uint8)


def write_video(
    path: Path, size: tuple[int, int], lengths: Sequence[int], options: dict[str, str], seed: int
) -> None:
    """Write a video of scenes with these numbers of frames."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=RATE, options={"preset": "veryfast", **options})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for length in lengths:
            background, square = scene(size, rng), rng.integers(0, 256, 3)
            side, pan = size[1] // 5, rng.choice([-1, 0, 1], 2)
            for at in range(length):
                x, y = (size[axis] // 8 + int(pan[axis] * at * size[axis] / 2200) for axis in (0, 1))
                frame = background[y : y + size[1], x : x + size[0]].copy()
                left = (at * size[0] // 400) % (size[0] - side)
                frame[side : 2 * side, left : left + side] = square
                output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode(None))


def repeat(path: Path, out: Path, times: int, frames: int) -> None:
    """Write a video several times in sequence, without encoding it again."""
    with av.open(str(out), "w") as output:
        stream = None
        for number in range(times):
            with av.open(str(path)) as container:
                source = container.streams.video[0]
                stream = stream or output.add_stream_from_template(source)
                shift = round(Fraction(number * frames, RATE) / source.time_base)
                for packet in container.demux(source):
                    if packet.size:
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = stream
                        output.mux(packet)


def index(path: Path) -> dict[str, object]:
    """Decode a video as the indexer does, with a loaded model."""
    embedder, results = load_embedder("builtin"), []
    embedder.embed_images([embedder.prepare(Image.new("RGB", (256, 256)))])

    def read() -> None:
        with path.open("rb") as file:
            results.append(decoder.decode(file, path.suffix, DecodeContext(embedder)))

    took = time_of(read)
    starts = [draft.start for draft in results[0].drafts if draft.kind == "video"]
    return {
        "wall": took.wall,
        "cpu": took.cpu,
        "starts": starts,
        "peak": getrusage(RUSAGE_SELF).ru_maxrss / 1e3,
    }


def decode(path: Path, seconds: float) -> dict[str, float]:
    """Decode every frame of the first seconds with all cores."""

    def read() -> None:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                if frame.time >= seconds:
                    return

    took = time_of(read)
    return {"wall": took.wall, "cpu": took.cpu}


def measure(name: str, place: Path, size: tuple[int, int], lengths: list[int], times: int, seed: int) -> dict:
    """Return the row of one encoding."""
    frames = sum(lengths)
    seconds = frames * times / RATE
    write_video(place / "once.mp4", size, lengths, ENCODINGS[name], seed)
    repeat(place / "once.mp4", place / "video.mp4", times, frames)
    indexed = alone(index, place / "video.mp4")
    decode_seconds = min(60.0, seconds)
    decoded = alone(decode, place / "video.mp4", decode_seconds)
    cuts = (np.cumsum([0, *lengths])[:-1][None] + frames * np.arange(times)[:, None]).ravel() / RATE
    starts = np.array(indexed["starts"])
    distances = np.abs(cuts[:, None] - starts).min(axis=1)
    extra = int((np.abs(starts[:, None] - cuts).min(axis=1) > 0.1).sum())
    return {
        "key frames": name,
        "minutes": seconds / 60,
        "MB/minute": (place / "video.mp4").stat().st_size / 1e6 / (seconds / 60),
        "x real time": seconds / indexed["wall"],
        "x on idle cores": seconds * cores() / indexed["cpu"],
        "decoding all": decode_seconds / decoded["wall"],
        "x decoding": (seconds / indexed["cpu"]) / (decode_seconds / decoded["cpu"]),
        "scenes": len(cuts),
        "found": float((distances <= 0.1).mean()),
        "extra": extra,
        "MB": indexed["peak"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    args = parser.parse_args()
    size, lengths = (1920, 1080), [107, 190, 61, 240, 133]
    if args.smoke:
        size, lengths, args.minutes = (320, 180), [50, 70], 0.2
    times = max(1, round(args.minutes * 60 * RATE / sum(lengths)))
    print(f"{machine()}; {size[0]} x {size[1]}, {RATE} frames a second, seed {args.seed}\n")
    rows = []
    for name in ENCODINGS:
        with tempfile.TemporaryDirectory(prefix="clew-bench-") as place:
            rows.append(measure(name, Path(place), size, lengths, times, args.seed))
    table(rows)
    emit("video", size=size, seed=args.seed, videos=rows)


if __name__ == "__main__":
    main()
