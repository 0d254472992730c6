"""A fresh interpreter in a child process."""

import subprocess
import sys


def imported_modules(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has after this code."""
    report = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())
