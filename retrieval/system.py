"""The processor, memory and per-user folders of this machine."""

import os
import platform
from collections.abc import Iterable
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

import platformdirs


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # a container may have fewer than the machine
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_limit() -> int:
    """Return the bytes of memory that this process may use."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")  # of a container
    text = limit.read_text().strip() if limit.is_file() else ""
    return min(total, int(text)) if text.isdigit() else total


@cache
def processor_description() -> str:
    """Return the name of the processor, its usable cores and its instruction sets for fast inference."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    flags = [line.partition(":")[2].split() for line in info.splitlines() if line.startswith("flags")]
    sets = {"avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile"} & set(flags[0] if flags else ())
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {cores()} cores, {' '.join(sorted(sets)) or platform.machine()}"


def clew_version() -> str:
    """Return the version of the installed package."""
    return version("clew-search")


def default_library() -> Path:
    """Return the folder of this user's default library."""
    return platformdirs.user_data_path("clew", appauthor=False)


def model_cache_folder() -> Path:
    """Return the folder of prepared models, which can be deleted and prepared again."""
    return platformdirs.user_cache_path("clew", appauthor=False) / "models"


def expand_user(path: str | Path) -> Path:
    """Return a path with the folder of the user for `~` or `~NAME`; unchanged if there is no such user."""
    try:
        return Path(path).expanduser()
    except (RuntimeError, ValueError):  # no such user, or a NUL in its name
        return Path(path)


def is_server_address(place: str) -> bool:
    """Return True for the address of a `clew serve`, False for the folder of a library."""
    return place.startswith(("http://", "https://"))


def distinct_libraries(places: Iterable[str]) -> list[str]:
    """Return the folders and addresses of libraries, each once, as it was written first."""
    first = dict[str | Path, str]()
    for place in places:
        is_address = is_server_address(place)
        first.setdefault(place.rstrip("/") if is_address else expand_user(place).resolve(), place)
    return list(first.values())


def server_socket(library: Path) -> Path:
    """Return the socket on which `clew serve` answers the commands of this user for a library.

    It is not in the library, which may be read-only, on another machine, or have a long path.
    """
    name = blake2b(os.fsencode(expand_user(library).resolve()), digest_size=8).hexdigest()
    return platformdirs.user_cache_path("clew", appauthor=False) / "run" / f"{name}.sock"
