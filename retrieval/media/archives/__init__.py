"""Read files inside zip and tar archives.

archive     List and open files in archives, whose paths are `album.zip/IMG_1.jpg`.
decompress  Decompress within limits, and read a part of a file as a file.
member      The record of a file in an archive.
tar         List the members of tar archives with tarfile: within limits, and past damaged headers.
zip         Read zip archives with zipfile: the directory within a limit, stored files without a copy.
"""
