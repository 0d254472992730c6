"""Decode a video to one segment per scene, and its subtitles to passages.

Frames are embedded here, in batches, because their embeddings decide where scenes begin.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

import numpy as np
from PIL import Image

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.metadata.perceptual_hash import brightness_grid, sharpness, small_grayscale
from indexer.decode.metadata.video_properties import is_taken_in_utc, video_properties
from indexer.decode.text.chunking import PassageLimit
from indexer.decode.text.subtitle_cues import Cue
from indexer.decode.text.subtitle_tracks import distinct_tracks
from indexer.decode.text.subtitles import subtitle_drafts
from indexer.decode.video import cut_search, scenes
from indexer.decode.video.frame_converter import ConvertedFrame, FrameConverter
from indexer.decode.video.frame_sampling import (
    DecodeRange,
    RangeResult,
    decode_ranges,
    sample_key_frames,
)
from indexer.decode.video.packet_index import PacketIndex
from indexer.decode.video.scenes import Cut, Sample, Scene
from indexer.prefetch import prefetch
from retrieval.errors import MediaError
from retrieval.media.av.container import is_broadcast_format, open_container, video_stream, zero_time
from retrieval.media.sandboxed_calls import iterate_sandboxed

if TYPE_CHECKING:
    from av.container import InputContainer

EMBEDDING_BATCH_FRAMES = 16
MIN_FRAME_SIDE = 256  # pixels of the shorter side of a converted frame, at least
MAX_BLANK_DEVIATION = 3.0  # of 255: standard deviation of the brightness of a blank frame
MAX_BLANK_SATURATION = 8.0  # of 255: range of the mean color channels of a blank frame


@dataclass(frozen=True, slots=True)
class _KeyFrameScan:
    """The result of the first pass over a video."""

    index: PacketIndex
    samples: list[Sample]  # ascending
    display_size: tuple[int, int]
    metadata: dict[str, str]
    note: str | None  # on streams that are left out


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Return the scenes of a video, then its subtitles; raises MediaError if no frame can be decoded."""
    scan = _embed_key_frames(file, context)
    index = scan.index
    drafts = [_scene_draft(index, scene) for scene in _find_scenes(file, index, scan.samples, context)]
    limit = PassageLimit(context.limits)
    for cues in _subtitle_tracks(index):
        drafts += limit.take(subtitle_drafts(cues, context.chunker))
    duration = round(index.to_seconds(index.end_time), 3)
    properties = video_properties(scan.metadata, scan.display_size, duration)
    note = "; ".join(filter(None, (scan.note, limit.note))) or None
    return DecodedFile(drafts, properties, note, is_taken_in_utc=is_taken_in_utc(scan.metadata))


def embed_known_scenes(
    file: BinaryIO, context: DecodeContext, scene_ranges: Sequence[tuple[float, float]]
) -> list[SegmentDraft]:
    """Embed scenes whose start and end are known, in seconds and ascending; returns a segment for each."""
    scan = _embed_key_frames(file, context)
    index, samples = scan.index, scan.samples
    known = [Scene(index.to_time(start), index.to_time(end)) for start, end in scene_ranges]
    for scene in known:
        scene.samples += scene.samples_within(samples)
    _, missing = _search_ranges(file, index, cut_search.missing_sample_ranges(index, known), context)
    for scene in known:
        scene.samples += [
            replace(sample, is_scene_start=sample.time == scene.start)
            for sample in scene.samples_within(missing)
        ]
        # No frame of a scene may be decodable in a damaged video; the nearest sample stands in for it.
        scene.samples = scene.samples or [min(samples, key=lambda sample: abs(sample.time - scene.start))]
    return [_scene_draft(index, scene) for scene in known]


# The packet index, the display size, the metadata, and a note on streams that are not read.
KeyFrameResult: TypeAlias = tuple[PacketIndex, tuple[int, int], dict[str, str], str | None]


class _KeyFrameDecoder:
    """The key frames of a video, decoded in a subprocess; the results of the pass follow the last."""

    def __init__(self, file: BinaryIO, context: DecodeContext, slice_threads: bool) -> None:
        self._frames = iterate_sandboxed(
            decode_key_frames,
            file,
            _min_frame_side(context),
            slice_threads,
            limits=context.limits,
            stop=context.stop,
        )
        self.index: PacketIndex
        self.display_size: tuple[int, int]
        self.metadata: dict[str, str]
        self.note: str | None

    def __iter__(self) -> Iterator[ConvertedFrame]:
        self.index, self.display_size, self.metadata, self.note = yield from self._frames


def _embed_key_frames(
    file: BinaryIO, context: DecodeContext, *, slice_threads: bool = False
) -> _KeyFrameScan:
    """Index the packets of a video and embed key frames throughout."""
    decoder = _KeyFrameDecoder(file, context, slice_threads)
    # The next frames are decoded while a batch is embedded.
    batches = prefetch(
        lambda batch: _embed_frames(batch, context), _frame_batches(decoder), threads=1, depth=2
    )
    samples = [sample for batch in batches for sample in batch]
    if samples:
        samples.sort(key=lambda sample: sample.time)
        return _KeyFrameScan(decoder.index, samples, decoder.display_size, decoder.metadata, decoder.note)
    if not slice_threads:
        return _embed_key_frames(file, context, slice_threads=True)
    raise MediaError("damaged: no frame can be decoded")


def decode_key_frames(
    file: BinaryIO, min_side: int, slice_threads: bool
) -> Generator[ConvertedFrame, None, KeyFrameResult]:
    """Yield key frames throughout a video; return what else was read of it."""
    size = 0, 0
    with open_container(file) as container:
        stream = video_stream(container)
        time_base = stream.time_base or Fraction(1, 1000)
        index = PacketIndex(time_base, zero=zero_time(container, time_base))
        converter = FrameConverter(stream, min_side)
        for frame, frame_size in sample_key_frames(
            container, stream, index, converter, slice_threads=slice_threads
        ):
            size = size if any(size) else frame_size
            yield frame
        return index, size, dict(container.metadata), _note_on_other_streams(container)


def _note_on_other_streams(container: "InputContainer") -> str | None:
    """Return a note if a recording has several video streams, as if recordings of two devices are joined."""
    count = len(container.streams.video)
    if count < 2 or not is_broadcast_format(container):
        return None
    return f"it has {count} video streams, of which one is read"


def _find_scenes(
    file: BinaryIO, index: PacketIndex, samples: list[Sample], context: DecodeContext
) -> list[Scene]:
    """Return the scenes of a video, decoding between the samples within the budget."""
    intervals = cut_search.intervals(index, samples)
    chosen = cut_search.within_budget(intervals, index)
    ranges = cut_search.merge_ranges(interval.decode_range for interval in chosen)
    candidates, spaced_samples = _search_ranges(file, index, ranges, context)
    refined, _ = _search_ranges(file, index, cut_search.refinement_ranges(index, candidates), context)
    cuts = [scenes.strongest(refined, candidate) for candidate in candidates]
    decoded = set(chosen)
    cut_times = [
        (1.0, interval.expected_cut)
        for interval in intervals
        if interval.expected_cut is not None and interval not in decoded
    ]
    cut_times += [(cut.distance, cut.time) for cut in cuts]
    all_samples = [*samples, *spaced_samples, *(cut.sample for cut in cuts)]
    all_samples.sort(key=lambda sample: sample.time)
    return scenes.split_scenes(index, all_samples, scenes.suppress_close_cuts(cut_times, index))


def _search_ranges(
    file: BinaryIO, index: PacketIndex, ranges: Sequence[DecodeRange], context: DecodeContext
) -> tuple[list[Cut], list[Sample]]:
    """Decode ranges; returns their cuts and the samples of the frames that they request."""
    cuts, samples = list[Cut](), list[Sample]()
    if not ranges:
        return cuts, samples
    results = iterate_sandboxed(
        decode_search_ranges,
        file,
        index.time_base,
        _min_frame_side(context),
        ranges,
        limits=context.limits,
        stop=context.stop,
    )
    for result in results:
        if result.frame is not None:
            samples += _embed_frames([result.frame], context)
        changes = scenes.cut_candidates(result)
        frames = [frame for change in changes for frame in (change.before, change.after)]
        embedded = _embed_frames(frames, context)
        for change, before, after in zip(changes, embedded[::2], embedded[1::2], strict=True):
            if scenes.is_cut(change, result, before, after):
                distance = scenes.cosine_distance(before, after)
                after = replace(after, is_scene_start=True)
                cuts.append(Cut(before.time, after.time, distance, after, result.key_frames_only))
    return cuts, samples


def decode_search_ranges(
    file: BinaryIO, time_base: Fraction, min_side: int, ranges: Sequence[DecodeRange]
) -> Iterator[RangeResult]:
    """Decode ranges of a video, and yield the result of each of their sections."""
    with open_container(file) as container:
        stream = video_stream(container)
        yield from decode_ranges(container, stream, time_base, FrameConverter(stream, min_side), ranges)


def _min_frame_side(context: DecodeContext) -> int:
    return max(MIN_FRAME_SIDE, context.embedder.min_image_side)


def _frame_batches(frames: Iterable[ConvertedFrame]) -> Iterator[list[ConvertedFrame]]:
    remaining = iter(frames)
    while batch := list(islice(remaining, EMBEDDING_BATCH_FRAMES)):
        yield batch


def _embed_frames(frames: Sequence[ConvertedFrame], context: DecodeContext) -> list[Sample]:
    """Embed frames and measure them, so that their images can be released."""
    if not frames:
        return []
    vectors = context.embedder.embed_images([context.embedder.prepare(frame.image) for frame in frames])
    samples, last_shown = list[Sample](), None
    for frame, vector in zip(frames, vectors, strict=True):
        gray = small_grayscale(frame.image)
        is_blank = _is_blank(frame.image, gray)
        sample = Sample(frame.time, vector, None, brightness_grid(gray), sharpness(gray), is_blank)
        if last_shown is None or scenes.differs(last_shown, sample):
            last_shown = replace(sample, thumbnail=context.thumbnail(frame.image))
        samples.append(replace(sample, thumbnail=last_shown.thumbnail))  # similar frames share one
    return samples


def _is_blank(image: Image.Image, grayscale: Image.Image) -> bool:
    """Return True if an image is uniformly black, white or gray."""
    brightness = np.asarray(grayscale, np.float32)
    red, green, blue = np.asarray(image.resize((1, 1), Image.Resampling.BOX), np.float32).reshape(3)
    return bool(
        brightness.std() < MAX_BLANK_DEVIATION
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


def _subtitle_tracks(index: PacketIndex) -> list[Sequence[Cue]]:
    """Return the subtitles of each distinct track, ascending, in seconds from the zero of the file."""
    start = index.zero * float(index.time_base)
    tracks = [
        sorted(Cue(max(0.0, cue.start - start), cue.end - start, cue.text) for cue in cues if cue.end > start)
        for cues in index.cues.values()
    ]
    return distinct_tracks(tracks)
