"""Audio and video containers.

clip              Write a time range of a video or audio file as a clip: copy its packets, or transcode it.
clip_formats      The formats of clips: which codecs may be copied into each.
container         Open video and audio files safely, and read their packets and frames.
continuous_clock  Correct discontinuities of timestamps, so that one clock runs through a file.
frame             Decode one frame from the middle of a video.
time_range        A time range of a video or audio file: its packets and frames.
"""
