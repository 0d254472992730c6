"""Public operations and the orchestration of one run."""
