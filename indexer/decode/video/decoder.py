"""A video: a segment of each scene, with its times, and its subtitles as passages.

Its frames are embedded here, some at a time, as its segments are made of what they show.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.metadata.perceptual_hash import brightness_grid, sharpness, small_grayscale
from indexer.decode.metadata.video_properties import video_properties
from indexer.decode.text.subtitle_cues import Cue
from indexer.decode.text.subtitles import subtitle_drafts
from indexer.decode.video import cut_search, scenes
from indexer.decode.video.frame_converter import ConvertedFrame, FrameConverter
from indexer.decode.video.frame_sampling import DecodeRange, decode_ranges, sample_key_frames
from indexer.decode.video.packet_index import PacketIndex
from indexer.decode.video.scenes import Cut, Sample, Scene
from indexer.prefetch import prefetch
from retrieval.errors import MediaError
from retrieval.media.av.container import open_container, video_stream

if TYPE_CHECKING:
    from av import VideoStream

EMBEDDING_BATCH_FRAMES = 16  # frames embedded together
MIN_FRAME_SIDE = 256  # pixels of each side of a frame, at least
MAX_BLANK_DEVIATION, MAX_BLANK_SATURATION = (
    3.0,
    8.0,
)  # of 255: how little a blank frame's light varies, and how little colour it has


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Return the scenes of a video, then its subtitles; raises MediaError where no frame can be read."""
    reel, seen, size, metadata = _embed_key_frames(file, context)
    shown = [_scene_draft(reel, scene) for scene in _find_scenes(file, reel, seen, context)]
    details = video_properties(metadata, size, round(reel.to_seconds(reel.end_time), 3))
    return DecodedFile(shown + subtitle_drafts(_subtitle_cues(reel), context.chunker), details)


def embed_known_scenes(
    file: BinaryIO, context: DecodeContext, scene_ranges: Sequence[tuple[float, float]]
) -> list[SegmentDraft]:
    """Embed the scenes that a video is known to have, in seconds, ascending; returns a segment of each."""
    reel, seen, _, _ = _embed_key_frames(file, context)
    known = [Scene(reel.to_time(start), reel.to_time(end)) for start, end in scene_ranges]
    for scene in known:
        scene.samples += scene.samples_within(seen)
    _, more = _search_ranges(file, reel, cut_search.missing_sample_ranges(reel, known), context)
    for scene in known:
        scene.samples += [
            replace(each, is_scene_start=each.time == scene.start) for each in scene.samples_within(more)
        ]
        # Of a damaged video there may be none; then the nearest is as good as it gets.
        scene.samples = scene.samples or [min(seen, key=lambda each: abs(each.time - scene.start))]
    return [_scene_draft(reel, scene) for scene in known]


def _embed_key_frames(
    file: BinaryIO, context: DecodeContext, *, slice_threads: bool = False
) -> tuple[PacketIndex, list[Sample], tuple[int, int], dict[str, str]]:
    """Look at key frames all over a video: its packets, samples, width and height, and metadata."""
    with open_container(file) as container:
        stream = video_stream(container)
        reel, sizes = PacketIndex(stream.time_base or Fraction(1, 1000)), list[tuple[int, int]]()

        def frames() -> Iterator[ConvertedFrame]:
            lens = _frame_converter(stream, context)
            for frame, size in sample_key_frames(container, stream, reel, lens, slice_threads=slice_threads):
                sizes.append(size)
                yield frame

        # The next frames are decoded while some are embedded.
        chunks = prefetch(
            lambda some: _embed_frames(some, context), _frame_batches(frames()), threads=1, depth=2
        )
        seen = [sample for chunk in chunks for sample in chunk]
        metadata = dict(container.metadata)
    if seen:
        return reel, sorted(seen, key=lambda sample: sample.time), sizes[0], metadata
    if not slice_threads:
        return _embed_key_frames(file, context, slice_threads=True)
    raise MediaError("damaged: no frame of it can be read")


def _find_scenes(
    file: BinaryIO, index: PacketIndex, samples: list[Sample], context: DecodeContext
) -> list[Scene]:
    """Find where scenes begin, decoding what lies between samples as far as it is worth its time."""
    found = cut_search.intervals(index, samples)
    taken = cut_search.within_budget(found, index)
    steps, between = _search_ranges(
        file, index, cut_search.merge_ranges(gap.decode_range for gap in taken), context
    )
    again, _ = _search_ranges(file, index, cut_search.refinement_ranges(index, steps), context)
    steps = [scenes.strongest(again, step) for step in steps]
    looked = set(taken)
    cuts = [(1.0, gap.expected_cut) for gap in found if gap.expected_cut is not None and gap not in looked]
    cuts += [(step.distance, step.time) for step in steps]
    first_frames = [step.sample for step in steps]
    every = sorted([*samples, *between, *first_frames], key=lambda sample: sample.time)
    return scenes.split_scenes(index, every, scenes.suppress_close_cuts(cuts, index))


def _search_ranges(
    file: BinaryIO, index: PacketIndex, ranges: Sequence[DecodeRange], context: DecodeContext
) -> tuple[list[Cut], list[Sample]]:
    """Decode these runs of packets; returns the cuts in them, and samples between those there are."""
    steps, between = list[Cut](), list[Sample]()
    if not ranges:
        return steps, between
    with open_container(file) as container:
        stream = video_stream(container)
        for stretch in decode_ranges(container, stream, index, _frame_converter(stream, context), ranges):
            if stretch.frame is not None:
                between += _embed_frames([stretch.frame], context)
            jumps = scenes.cut_candidates(stretch)
            frames = [frame for jump in jumps for frame in (jump.before, jump.after)]
            seen = _embed_frames(frames, context)
            for jump, before, after in zip(jumps, seen[::2], seen[1::2], strict=True):
                if scenes.is_cut(jump, stretch, before, after):
                    edge, moved = replace(after, is_scene_start=True), scenes.cosine_distance(before, after)
                    steps.append(Cut(before.time, after.time, moved, edge, stretch.key_frames_only))
    return steps, between


def _frame_converter(stream: "VideoStream", context: DecodeContext) -> FrameConverter:
    return FrameConverter(stream, max(MIN_FRAME_SIDE, context.embedder.min_image_side))


def _frame_batches(frames: Iterable[ConvertedFrame]) -> Iterator[list[ConvertedFrame]]:
    left = iter(frames)
    while chunk := list(islice(left, EMBEDDING_BATCH_FRAMES)):
        yield chunk


def _embed_frames(frames: Sequence[ConvertedFrame], context: DecodeContext) -> list[Sample]:
    """Embed frames, and note of each what is needed once its picture is let go."""
    if not frames:
        return []
    vectors = context.embedder.embed_images([context.embedder.prepare(frame.image) for frame in frames])
    done, shown = list[Sample](), None
    for frame, vector in zip(frames, vectors, strict=True):
        grey = small_grayscale(frame.image)
        blank = _is_blank(frame.image, grey)
        sample = Sample(frame.time, vector, None, brightness_grid(grey), sharpness(grey), blank)
        if shown is None or scenes.differs(shown, sample):
            shown = replace(sample, thumbnail=context.thumbnail(frame.image))
        done.append(replace(sample, thumbnail=shown.thumbnail))  # one serves all that are alike
    return done


def _is_blank(image: Image.Image, grayscale: Image.Image) -> bool:
    """Say whether nothing is to be seen: all black, white or grey."""
    light = np.asarray(grayscale, np.float32)
    red, green, blue = np.asarray(image.resize((1, 1), Image.Resampling.BOX), np.float32).reshape(3)
    return bool(
        light.std() < MAX_BLANK_DEVIATION
        and max(red, green, blue) - min(red, green, blue) < MAX_BLANK_SATURATION
    )


def _scene_draft(index: PacketIndex, scene: Scene) -> SegmentDraft:
    return SegmentDraft(
        "video",
        start=index.to_seconds(scene.start),
        end=index.to_seconds(scene.end),
        vector=scene.vector,
        thumbnail=scene.sharpest.thumbnail,
    )


def _subtitle_cues(index: PacketIndex) -> list[Cue]:
    """Return the subtitles in the seconds of the video."""
    begun = index.start_time * float(index.time_base)
    late = sorted(Cue(max(0.0, cue.start - begun), max(0.0, cue.end - begun), cue.text) for cue in index.cues)
    return [cue for cue in late if cue.end > 0]
