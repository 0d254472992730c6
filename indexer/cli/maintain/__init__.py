"""Commands that maintain a library.

verify   clew verify: check a library for damage, and repair it.
backup   clew backup and clew restore: copy a library into a file, and back.
forget   clew forget: remove folders and stored data.
"""
