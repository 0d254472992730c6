"""Commands that answer other programs.

serve  clew serve: search on a web page, and by programs through HTTP.
"""
