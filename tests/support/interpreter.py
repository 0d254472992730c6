"""A new interpreter in a child process."""

import subprocess
import sys


def imported_modules(code: str) -> set[str]:
    """Return the top-level modules that a new interpreter has imported after running this code."""
    report = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    process = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return set(process.stdout.splitlines()[-1].split())
