"""Commands that answer other programs.

mcp    clew mcp: search by an agent, through the Model Context Protocol.
serve  clew serve: search on a web page, and by programs through HTTP.
"""
