"""Child process that indexes one file at a time.

It reads JSON lines with a folder that contains one file, indexes the folder into the library of its argument,
searches it, and writes JSON lines with the outcome and the reason.
"""

import json
import sys
import traceback
from pathlib import Path
from typing import Any

from indexer import IndexOptions, update_library
from retrieval import Library
from tests.support.toy_embedder import ToyEmbedder

OPTIONS = IndexOptions(archives=True, hidden=True)


def index_file(folder: Path, library: Path, arguments: dict[str, Any]) -> tuple[str, str]:
    """Index a folder that contains one file; return the outcome and the reason."""
    report = update_library([folder], library=library, options=OPTIONS, **arguments)
    (path,) = folder.iterdir()
    with Library.open(library, embedder=arguments.get("embedder")) as opened:
        opened.search("red", count=5)
        reasons = {failure.path: failure.reason for failure in opened.failures()}
        found = {p: reason for p, reason in reasons.items() if p == path or path in p.parents}
        reason = next(iter(found.values()), "")
        if not found:
            return ("read", "") if report.added + report.updated else _absent(report)
        if reason.startswith("unexpected "):  # a bug of a decoder
            return "traceback", reason
        return ("part" if reason.startswith("read in part") else "rejected"), reason


def _absent(report: Any) -> tuple[str, str]:
    """Return the outcome of a file that is neither in the library nor in its failures."""
    return ("skipped", "") if report.skipped else ("unreported", str(report))


def serve(library: Path, model: str) -> None:
    """Answer requests until the end of stdin."""
    arguments: dict[str, Any] = {"embedder": ToyEmbedder()} if model == "toy" else {"model": model}
    for line in sys.stdin:
        try:
            outcome, reason = index_file(Path(json.loads(line)), library, arguments)
        except Exception:
            traceback.print_exc()
            outcome, reason = "traceback", traceback.format_exc(limit=-3)
        sys.stderr.flush()
        print(json.dumps([outcome, reason]), flush=True)  # noqa: T201


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2])
