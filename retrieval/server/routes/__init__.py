"""The routes of the API: read the arguments, call one function, answer.

browse        The library by time, and the values of filters.
documentation A page that describes the API, and the files of the web page.
library_map   The two-dimensional map of the library.
export        Chosen hits as a list of paths, a captions file, or a ZIP file.
search        Searches by words, pictures and segments.
segments      A segment: its details, thumbnail, media, text and clip.
status        The state of the library and of the server.
terminal       Searches of `clew search` through the socket of a library.
"""
