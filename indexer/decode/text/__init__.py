"""Plain text, captions and subtitles.

caption_rows      Parser of caption tables: a column of image paths and one or more columns of captions.
caption_table     Decoder of caption tables, whose segments belong to the images that the rows name.
chunking          Split text into passages that fit the context of the text encoder.
encoding          Decode the bytes of text files: by byte order mark, as UTF-8, as declared, or by detection.
letter_encodings  Distinguish the encodings before Unicode by the letters of their scripts and languages.
plain             Decoder of plain text and Markdown, of tables without captions, and of calendars.
records           Texts of files that consist of records: the rows of tables, and the events of calendars.
sidecar_captions  Decoder of the captions of one image: lines of text, JSON of img2dataset, or an XMP sidecar.
subtitle_cues     Cues of subtitles: cleaning their text, joining them to sentences, reading tracks of videos.
subtitle_formats  Parsers of subtitle files: SubRip, WebVTT, SubStation Alpha (.ass, .ssa) and MicroDVD (.sub)
subtitle_tracks   Select the subtitle tracks of a video that have different texts.
subtitles         Decoder of subtitle files, which belong to a video of the same name or stand alone.
"""
