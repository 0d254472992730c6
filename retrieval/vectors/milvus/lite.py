"""Folders of milvus-lite, which runs in this process and serves no other."""

from importlib.util import find_spec
from pathlib import Path

from retrieval.errors import VectorServerError, first_line

LOCAL_HINT = "return to the files of the library with `clew index --vectors local`"


def check_folder(path: str, may_create: bool) -> None:
    """Raise VectorServerError if milvus-lite or a folder that it may not create is missing."""
    if find_spec("milvus_lite") is None:
        raise VectorServerError(
            f"{path} requires milvus-lite: pip install milvus-lite. Or name a server in `clew publish`, or "
            f"{LOCAL_HINT}."
        )
    if not may_create and not Path(path).exists():
        raise VectorServerError(
            f"{path}, which has the published vectors, does not exist. Restore it, or write it again with "
            f"`clew publish`, or {LOCAL_HINT}."
        )


def opening_problem(path: str) -> str:
    """Return why milvus-lite cannot open a folder, which pymilvus does not say, and what to do."""
    from milvus_lite import DataDirLockedError, MilvusLite, MilvusLiteError

    reason = "try again"
    if not Path(path).parent.is_dir():
        reason = f"folder {Path(path).parent} does not exist"
    else:
        try:
            MilvusLite(path).close()
        except DataDirLockedError:
            return (
                f"Another process has {path} open, and milvus-lite serves one process. Stop the other one, "
                "or publish to a Milvus server, which serves many: `clew publish http://HOST:19530`."
            )
        except (MilvusLiteError, OSError, ValueError) as error:
            reason = first_line(error)
    return f"milvus-lite cannot open {path}: {reason}. Name another path in `clew publish`, or {LOCAL_HINT}."
