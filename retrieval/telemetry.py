"""Switch off the usage reports of dependencies.

onnxruntime 1.32 sends reports to Microsoft: its import queues one, with a persistent identifier of the
device, and a thread of the process sends it seconds later. The variable must be set before onnxruntime is
imported, which another dependency may do, so `retrieval` calls this first. Child processes inherit it. Ray
sends reports from the first node of a cluster that it starts.
"""

import os

_VARIABLES = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def disable_telemetry() -> None:
    """Set the environment variables that switch reports off; values that the user has set remain."""
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
