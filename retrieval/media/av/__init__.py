"""Audio and video containers."""
