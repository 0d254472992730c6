"""Videos: scenes from key frames and cuts."""
