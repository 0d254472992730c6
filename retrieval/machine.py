"""What this machine offers."""

import os
from pathlib import Path

import platformdirs


def cores() -> int:
    """Count the processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # a container may have fewer than the machine
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_library() -> Path:
    """Return the folder of the library that is used when none is named."""
    return platformdirs.user_data_path("clew", appauthor=False)
