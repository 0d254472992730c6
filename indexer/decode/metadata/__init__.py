"""Metadata of images and videos.

capture_time      Find the capture time of an image and the time zone of the camera's clock.
descriptions      Read the titles and descriptions of an image from its EXIF, IPTC and XMP.
fields            Read the raw fields of an image's EXIF, IPTC and XMP, in any of the encodings in use.
local_time        Convert the capture time of a video from universal to local time.
perceptual_hash   Compute perceptual hashes, sharpness and brightness grids of images.
properties        Read the properties of an image from its metadata and pixels, and those of XMP sidecars.
video_properties  Read the capture time, location and camera of a video from its metadata.
"""
