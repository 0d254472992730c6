"""Audio files.

decoder  Decode audio to a segment that describes its tags, and passages of its comments and lyrics.
stream   Audio samples of audio and video files, in chunks.
"""
