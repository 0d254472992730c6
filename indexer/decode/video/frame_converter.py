"""Frames of a video as pictures: upright, small, of square pixels, with the time when each is shown."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from indexer.decode.images.thumbnail import THUMBNAIL_SIDE as THUMBNAIL

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream

SIGNATURE_SIDE = 32  # pixels of each side of a frame that is only compared with its neighbour

FrameSignature = NDArray[np.int16]  # (32, 32, 3)
DisplayMatrix = tuple[int, int, int, int]  # where the right and the lower edge of a frame go, as signs


class ConvertedFrame(NamedTuple):
    """A frame when it is shown, in units of its stream, upright and small."""

    time: int
    image: Image.Image


class FrameConverter:
    """Make upright small pictures, of square pixels, of the frames of a stream."""

    def __init__(self, stream: "VideoStream", min_side: int) -> None:
        from av.video.reformatter import VideoReformatter

        aspect = stream.codec_context.sample_aspect_ratio or stream.sample_aspect_ratio
        self._pixel_aspect_ratio = float(aspect) if aspect and 0.1 <= aspect <= 10 else 1.0
        self._min_side = min_side
        self._image_converter, self._signature_converter = (
            VideoReformatter(),
            VideoReformatter(),
        )  # each keeps what it has worked out
        self._cached_display_matrix: DisplayMatrix | None = None

    def convert(self, frame: "VideoFrame") -> ConvertedFrame:
        """Return an RGB picture of which both sides have `near` pixels, if the frame has, and no more."""
        width, height = frame.width * self._pixel_aspect_ratio, float(frame.height)
        scale = min(1.0, max(self._min_side / min(width, height), THUMBNAIL / max(width, height)))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = self._image_converter.reformat(frame, *size, "rgb24", interpolation="BILINEAR")
        picture: Image.Image = small.to_image()  # type: ignore[no-untyped-call]
        turn = _TRANSPOSES.get(self.display_matrix(frame))
        return ConvertedFrame(frame.pts or 0, picture if turn is None else picture.transpose(turn))

    def display_size(self, frame: "VideoFrame") -> tuple[int, int]:
        """Return width and height as a frame is shown."""
        width, height = round(frame.width * self._pixel_aspect_ratio), frame.height
        return (height, width) if self.display_matrix(frame)[0] == 0 else (width, height)

    def display_matrix(self, frame: "VideoFrame") -> DisplayMatrix:
        """Return how the frames are turned and mirrored; asked once: a frame that is asked lives long."""
        if self._cached_display_matrix is None:
            self._cached_display_matrix = _read_display_matrix(frame)
        return self._cached_display_matrix

    def signature(self, frame: "VideoFrame") -> FrameSignature:
        """Return next to nothing of a frame, enough to see that it is another than the one before."""
        tiny = self._signature_converter.reformat(
            frame, SIGNATURE_SIDE, SIGNATURE_SIDE, "rgb24", interpolation="BILINEAR"
        )
        return tiny.to_ndarray().astype(np.int16)


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
    side: Any = frame.side_data  # its stub says less than it is
    for data in side:
        if data.type.name == "DISPLAYMATRIX":
            right, down, _, left, up = np.frombuffer(bytes(data), np.int32)[:5] / 65536
            return round(right), round(down), round(left), round(up)
    return 1, 0, 0, 1
