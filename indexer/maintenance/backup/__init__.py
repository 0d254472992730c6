"""Back up a library into a tar archive, and restore it.

archive  write an archive with the checksums of its members.
restore  check an archive and put it in place of a library.
"""
