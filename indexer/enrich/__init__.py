"""Slow analyses that run after everything is searchable: OCR, speech, sound events, tiles.

base          Analyzer protocol, its work units, and the pass that runs an analyzer over contents.
clap          Classify sound events with a CLAP model, by transformers: the labels whose prompt a window match
content_pass  Passes: work that each stored content needs once, with one runner for all of them.
ocr           Text recognition (OCR) in images, scanned pages and videos, by rapidocr, offline.
runner        Run the enabled analyses after indexing: text in images, speech, and sound events.
screenshots   Recognize screenshots by their names, to suggest reading their text.
sound_events  Sound events in audio files and videos: the labels of each window of ten seconds.
sound_labels  The labels of everyday sounds that audio windows are compared with.
speech        Speech in audio files and videos, as passages of a transcript with their times.
text_layout   The reading order of recognized text lines, and passages of them.
tiles         Tiles: crops of an image that are embedded in addition to the image, so that small objects are f
whisper       Transcribe speech with a Whisper model, by faster-whisper.
"""
