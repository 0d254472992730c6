"""The versions of stored results of decoders; an increase reads files of earlier versions again."""

METADATA_VERSION = 1  # of the properties of images
TEXT_VERSION = "1"  # of the passages of texts and documents, and of the tags of sounds
VIDEO_VERSION = "2"  # of the scenes; 1 counted from the first picture, and mixed subtitle tracks
