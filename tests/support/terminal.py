"""The command at a real terminal."""

import os
import re
import subprocess
import sys


def run_in_terminal(args, folder, columns=80):
    """Run the command at a real terminal of so many columns."""
    import pty

    script = [sys.executable, "-c", "from indexer.cli.main import main; main()", *map(str, args)]
    main, side = pty.openpty()
    env = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1"}
    done = subprocess.Popen(script, stdin=side, stdout=side, stderr=side, env=env, cwd=folder)
    os.close(side)
    shown = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(main)
    done.wait()
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode(errors="replace").replace("\r\n", "\n"))
