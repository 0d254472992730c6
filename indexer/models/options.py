"""Options of loading a model."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Options of loading a model."""

    arch: str | None = None  # open_clip architecture of a local file of weights
    device: str | None = None  # where torch embeds; None for the fastest


DEFAULT_MODEL_OPTIONS = ModelOptions()
