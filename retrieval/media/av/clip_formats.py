"""The formats of clips: which codecs may be copied into each, and which it gets otherwise.

Muxers accept more than players read: FFmpeg writes VP8 into MPEG-TS and Vorbis into WAV without an error.
Formats that consist of several files (HLS, DASH, image sequences) are left out.
"""

from dataclasses import dataclass, replace

from retrieval.errors import MediaError


@dataclass(frozen=True, slots=True)
class ClipFormat:
    """A container format, named as FFmpeg does."""

    muxer: str
    copied: frozenset[str]  # codecs that players expect in it
    audio_encoder: str = "aac"
    video_encoder: str | None = "libx264"  # None: it contains audio only
    many_audio_streams: bool = True
    constant_rate: bool = False  # frames have a constant duration

    @property
    def is_audio_only(self) -> bool:
        """Return True if the format has no video."""
        return self.video_encoder is None


def _codecs(names: str) -> frozenset[str]:
    return frozenset(names.split())


def _audio(muxer: str, copied: str, encoder: str, *, many: bool = False) -> ClipFormat:
    return ClipFormat(muxer, _codecs(copied), encoder, None, many)


_MP4 = ClipFormat("mp4", _codecs("h264 hevc av1 vp9 mpeg4 aac mp3 ac3 eac3 alac opus flac"))
_MOV = ClipFormat(
    "mov",
    _codecs("h264 hevc mpeg4 mjpeg prores aac mp3 ac3 alac pcm_s16le pcm_s16be pcm_s24le pcm_s24be"),
)
_MKV = ClipFormat(
    "matroska",
    _codecs(
        "h264 hevc av1 vp8 vp9 theora mpeg1video mpeg2video mpeg4 msmpeg4v3 mjpeg aac mp2 mp3 ac3 eac3 dts "
        "opus vorbis flac alac pcm_s16le pcm_s24le pcm_s32le pcm_f32le"
    ),
)
_WEBM = ClipFormat("webm", _codecs("vp8 vp9 av1 opus vorbis"), "libopus", "libvpx-vp9")
_TS = ClipFormat("mpegts", _codecs("h264 hevc mpeg2video aac mp2 mp3 ac3"))
_AVI = ClipFormat(
    "avi", _codecs("mpeg4 msmpeg4v3 mjpeg mp2 mp3 ac3 pcm_s16le"), "libmp3lame", "mpeg4", constant_rate=True
)
_OGG = _audio("ogg", "vorbis opus flac", "libopus", many=True)
_M4A = _audio("ipod", "aac alac", "aac", many=True)
_AIFF = _audio("aiff", "pcm_s16be pcm_s24be pcm_s32be", "pcm_s16be")

CLIP_FORMATS = {
    **dict.fromkeys((".mp4", ".m4v"), _MP4),
    **{".mov": _MOV, ".mkv": _MKV, ".webm": _WEBM, ".avi": _AVI},
    **dict.fromkeys((".ts", ".m2ts", ".mts"), _TS),
    **{".mka": replace(_MKV, video_encoder=None), ".m4a": _M4A, ".m4b": _M4A},
    **dict.fromkeys((".ogg", ".oga"), _OGG),
    ".opus": replace(_OGG, muxer="opus", copied=_codecs("opus")),
    ".mp3": _audio("mp3", "mp3", "libmp3lame"),
    ".aac": _audio("adts", "aac", "aac"),
    ".flac": _audio("flac", "flac", "flac"),
    ".wav": _audio("wav", "pcm_u8 pcm_s16le pcm_s24le pcm_s32le pcm_f32le", "pcm_s16le"),
    **dict.fromkeys((".aiff", ".aif"), _AIFF),
}


def clip_format(suffix: str) -> ClipFormat:
    """Return the format of a suffix. Raises MediaError."""
    known = CLIP_FORMATS.get(suffix.lower())
    if known is None:
        raise MediaError(f"{suffix} is not a format of clips; use one of {' '.join(CLIP_FORMATS)}")
    return known
