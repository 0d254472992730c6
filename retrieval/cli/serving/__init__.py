"""Commands that answer other programs, or write files for them.

clip           clew clip: save a moment of a video or an audio file as a new file.
export         clew export: write the vectors of a library for other programs.
mcp            clew mcp: search by an agent, through the Model Context Protocol.
running_calls  End a process although a thread still runs a call.
serve          clew serve: search on a web page, and by programs through HTTP.
socket_client  Ask the `clew serve` of a library instead of loading its model for one search.
"""
