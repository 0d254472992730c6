"""Videos: scenes from key frames and cuts.

correction        Determine how the stored times of a video that an older version decoded are corrected.
cut_search        Find possible cuts between sampled frames, and choose the ranges that are worth decoding.
decoder           Decode a video to one segment per scene, and its subtitles to passages.
frame_converter   Convert decoded video frames to small upright images with square pixels.
frame_extraction  Decode one frame from the middle of each scene, large enough for text recognition.
frame_sampling    Decode selected frames of a video: key frames throughout, then ranges between them.
metadata          Read the metadata of a video without decoding it.
packet_index      The packet index of a video: times, sizes and key frames, known without decoding.
scenes            Split a video into scenes, at cuts and where the embedding changes.
"""
