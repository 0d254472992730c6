"""Convert decoded video frames to small upright images with square pixels."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from indexer.decode.images.thumbnail import THUMBNAIL_SIDE

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream

SIGNATURE_SIDE = 32  # pixels

FrameSignature = NDArray[np.int16]  # (32, 32, 3)
DisplayMatrix = tuple[int, int, int, int]  # the 2 x 2 part of FFmpeg's display matrix, each -1, 0 or 1


class ConvertedFrame(NamedTuple):
    """A small upright image of a frame and its time, in units of the stream."""

    time: int
    image: Image.Image


class FrameConverter:
    """A converter for the frames of one stream.

    Images keep at least `min_side` pixels on their shorter side, if the frames have them.
    """

    def __init__(self, stream: "VideoStream", min_side: int) -> None:
        from av.video.reformatter import VideoReformatter

        aspect = stream.codec_context.sample_aspect_ratio or stream.sample_aspect_ratio
        self._pixel_aspect_ratio = float(aspect) if aspect and 0.1 <= aspect <= 10 else 1.0
        self._min_side = min_side
        # A reformatter caches the tables of its last sizes, so each target size has its own.
        self._image_converter, self._signature_converter = VideoReformatter(), VideoReformatter()
        self._cached_display_matrix: DisplayMatrix | None = None

    def convert(self, frame: "VideoFrame") -> ConvertedFrame:
        """Return a frame as RGB, scaled down as far as embedding and thumbnails allow."""
        width, height = frame.width * self._pixel_aspect_ratio, float(frame.height)
        scale = min(1.0, max(self._min_side / min(width, height), THUMBNAIL_SIDE / max(width, height)))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        scaled = self._image_converter.reformat(frame, *size, "rgb24", interpolation="BILINEAR")
        image: Image.Image = scaled.to_image()  # type: ignore[no-untyped-call]
        transpose = _TRANSPOSES.get(self.display_matrix(frame))
        return ConvertedFrame(frame.pts or 0, image if transpose is None else image.transpose(transpose))

    def display_size(self, frame: "VideoFrame") -> tuple[int, int]:
        """Return the width and height at which a frame is shown."""
        width, height = round(frame.width * self._pixel_aspect_ratio), frame.height
        return (height, width) if self.display_matrix(frame)[0] == 0 else (width, height)

    def display_matrix(self, frame: "VideoFrame") -> DisplayMatrix:
        """Return the rotation and mirroring of the stream.

        Only the first frame is read: reading the side data of a frame keeps its memory in use.
        """
        if self._cached_display_matrix is None:
            self._cached_display_matrix = _read_display_matrix(frame)
        return self._cached_display_matrix

    def signature(self, frame: "VideoFrame") -> FrameSignature:
        """Return a frame at 32 x 32 pixels, for comparison with its neighbor."""
        scaled = self._signature_converter.reformat(
            frame, SIGNATURE_SIDE, SIGNATURE_SIDE, "rgb24", interpolation="BILINEAR"
        )
        return scaled.to_ndarray().astype(np.int16)


_TRANSPOSES: dict[DisplayMatrix, Image.Transpose] = {
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}


def _read_display_matrix(frame: "VideoFrame") -> DisplayMatrix:
    side_data: Any = frame.side_data  # its stub lacks the iteration
    for data in side_data:
        if data.type.name == "DISPLAYMATRIX":
            right, down, _, left, up = np.frombuffer(bytes(data), np.int32)[:5] / 65536
            return round(right), round(down), round(left), round(up)
    return 1, 0, 0, 1
