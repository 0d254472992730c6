"""Open media files safely.

archives/        Read files inside zip and tar archives.
av/              Audio and video containers.
call_codec       Encode arguments, results and errors of sandboxed calls as JSON and bytes, without pickle.
call_worker      Call functions by name in a sandboxed subprocess, for `retrieval.media.sandboxed_calls`.
download         Download images from http and https URLs on public addresses, within limits of size and time.
images/          Image files as upright sRGB.
limits           Limits on the size of decoded images.
picture          Decode the picture of a query in a sandboxed subprocess: an image, or a frame of a video.
regular_file     Open regular files only: a named pipe or a device can block a reader forever.
rendering        Render an image or a page of a PDF as WebP for a screen, in a sandboxed subprocess.
sandbox          Decode untrusted files in subprocesses with limits on time and memory.
sandbox_runner   Answer the requests of `retrieval.media.sandbox`, which runs this file in a subprocess.
sandboxed_calls  Call the functions of clew that decode untrusted files in sandboxed subprocesses.
"""
