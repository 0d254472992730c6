"""Options of tagging."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TagOptions:
    """Options of tagging: which segments get a label."""

    one_of: bool = False  # give each segment its most probable label only, not every confident one
    at_least: float | None = (
        None  # confidence (default: CONFIDENCE_THRESHOLD), or with `one_of` probability (0)
    )
    kind: str | Iterable[str] | None = None  # kinds to tag (default: image, video, page)
    under: str | Path | Iterable[str | Path] | None = None  # folders to tag, as in a search
    weight: float | None = None  # with `one_of`: of an image, its captions have the rest (default: 0.3)


DEFAULT_OPTIONS = TagOptions()
