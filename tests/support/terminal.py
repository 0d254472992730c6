"""Run the command in a pseudo-terminal."""

import os
import re
import subprocess
import sys

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m|\x1b]8;[^\x1b]*\x1b\\")  # colors, and OSC 8 links


def run_in_terminal(args, folder, columns=80, **env):
    """Return what `clew` prints in a terminal, without escape sequences."""
    return _ESCAPES.sub("", raw_terminal_output(args, folder, columns, **env))


def raw_terminal_output(args, folder, columns=80, **env):
    """Return what `clew` prints in a terminal of this width, with escape sequences."""
    import pty

    script = [sys.executable, "-c", "from indexer.cli.main import main; main()", *map(str, args)]
    parent_end, child_end = pty.openpty()
    env = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1", **env}
    process = subprocess.Popen(
        script, stdin=child_end, stdout=child_end, stderr=child_end, env=env, cwd=folder
    )
    os.close(child_end)
    output = b""
    while True:
        try:
            chunk = os.read(parent_end, 65536)
        except OSError:  # the child has closed its end
            break
        if not chunk:
            break
        output += chunk
    os.close(parent_end)
    process.wait()
    return output.decode(errors="replace").replace("\r\n", "\n")
