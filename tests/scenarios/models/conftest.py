"""Fixtures of open_clip models."""

from tests.support.open_clip_models import architectures, checkpoints, embedder_of, float32_only

__all__ = ["architectures", "checkpoints", "embedder_of", "float32_only"]
