"""Frames of a video as pictures: upright, small, of square pixels, with the time when each is shown."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from indexer.decode.images.thumbnail import SIDE as THUMBNAIL

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream

GLANCE = 32  # pixels of each side of a frame that is only compared with its neighbour

Glance = NDArray[np.int16]  # (32, 32, 3)
Matrix = tuple[int, int, int, int]  # where the right and the lower edge of a frame go, as signs


class Frame(NamedTuple):
    """A frame when it is shown, in units of its stream, upright and small."""

    time: int
    picture: Image.Image


class Lens:
    """Make upright small pictures, of square pixels, of the frames of a stream."""

    def __init__(self, stream: "VideoStream", near: int) -> None:
        from av.video.reformatter import VideoReformatter

        aspect = stream.codec_context.sample_aspect_ratio or stream.sample_aspect_ratio
        self._aspect = float(aspect) if aspect and 0.1 <= aspect <= 10 else 1.0
        self._near = near
        self._small, self._tiny = VideoReformatter(), VideoReformatter()  # each keeps what it has worked out
        self._matrix: Matrix | None = None

    def frame(self, frame: "VideoFrame") -> Frame:
        """Return an RGB picture of which both sides have `near` pixels, if the frame has, and no more."""
        width, height = frame.width * self._aspect, float(frame.height)
        scale = min(1.0, max(self._near / min(width, height), THUMBNAIL / max(width, height)))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = self._small.reformat(frame, *size, "rgb24", interpolation="BILINEAR")
        picture: Image.Image = small.to_image()  # type: ignore[no-untyped-call]
        turn = _TURNS.get(self.matrix(frame))
        return Frame(frame.pts or 0, picture if turn is None else picture.transpose(turn))

    def size(self, frame: "VideoFrame") -> tuple[int, int]:
        """Return width and height as a frame is shown."""
        width, height = round(frame.width * self._aspect), frame.height
        return (height, width) if self.matrix(frame)[0] == 0 else (width, height)

    def matrix(self, frame: "VideoFrame") -> Matrix:
        """Return how the frames are turned and mirrored; asked once: a frame that is asked lives long."""
        if self._matrix is None:
            self._matrix = _matrix(frame)
        return self._matrix

    def glance(self, frame: "VideoFrame") -> Glance:
        """Return next to nothing of a frame, enough to see that it is another than the one before."""
        tiny = self._tiny.reformat(frame, GLANCE, GLANCE, "rgb24", interpolation="BILINEAR")
        return tiny.to_ndarray().astype(np.int16)


_TURNS: dict[Matrix, Image.Transpose] = {
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}


def _matrix(frame: "VideoFrame") -> Matrix:
    side: Any = frame.side_data  # its stub says less than it is
    for data in side:
        if data.type.name == "DISPLAYMATRIX":
            right, down, _, left, up = np.frombuffer(bytes(data), np.int32)[:5] / 65536
            return round(right), round(down), round(left), round(up)
    return 1, 0, 0, 1
