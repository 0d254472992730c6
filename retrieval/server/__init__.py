"""The HTTP server of a library: a web page and an API, which only read.

app           Create the application from its routes.
cursors       Continue a list of hits although the library changes.
errors        Answer errors as JSON, without tracebacks.
http_server   Run the application on a socket until a signal, and close connections that send nothing.
input         Read the body of a request that programs send.
items         Describe hits for the page: size on the screen, thumbnail, moments and stack.
media_files   Open the file of a segment, if it is the file that was indexed.
metrics       Count requests for Prometheus.
options       Options of the server.
pictures      Keep uploaded pictures for queries.
queries/      What the box of the page shows of a query.
security      Check each request before a route reads it.
worker        Run calls on one library in few threads, with a limit on waiting calls.
gateway/      Serve several libraries, of this machine or of other servers, as one.
dialects/     Interfaces that clients of other programs already use.
routes/       The routes of the API.
schema/       The OpenAPI document of the API.
"""
