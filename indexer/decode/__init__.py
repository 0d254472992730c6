"""Files to segments: one decoder for each kind of file.

audio/      Audio files.
base        Results of decoders: the segments and the metadata of a file.
context     The context of decoders: the embedder, the chunker, and whether to make thumbnails.
documents/  PDF, office and HTML documents.
images/     Images, animations and their crops.
metadata/   Metadata of images and videos.
reader      Read one file: hash it, and decode it only if its content is new.
registry    File formats: their suffixes, their decoder, and how their contents are found.
signatures  Recognize the type of a file by its first bytes if its suffix is wrong.
text/       Plain text, captions and subtitles.
versions    The versions of stored results of decoders; an increase reads files of earlier versions again.
video/      Videos: scenes from key frames and cuts.
"""
