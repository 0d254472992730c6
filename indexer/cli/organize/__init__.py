"""Commands that name what is in a library.

names  clew teach and clew save: concepts and saved searches, which queries name @NAME.
tag    clew tag: tag images with labels.
"""
