"""Fixtures of open_clip models."""

from tests.support.open_clip_models import architectures, checkpoints, embedder_of, own_cache, small_vit

__all__ = ["architectures", "checkpoints", "embedder_of", "own_cache", "small_vit"]
