"""Compile the interposed C library, and control it through a memory-mapped file."""

import ctypes
import errno
import mmap
import os
import shutil
import subprocess
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

SOURCE = Path(__file__).with_name("interpose.c")
NO_LIMIT = 2**64 - 1


class Action(IntEnum):
    """What happens at an operation; `enum action` in interpose.c is equal."""

    NONE = 0
    KILL_BEFORE = 1
    KILL_AFTER = 2
    KILL_WITHIN = 3  # after the first half of a write
    FAIL = 4
    SHORT = 5  # a write of its first half; the following write fails


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault at the operations `first` to `last`, which count from 1."""

    action: Action = Action.NONE
    first: int = 0
    last: int = 0
    error: int = 0

    def __str__(self) -> str:
        if self.action == Action.NONE:
            return "no fault"
        name = self.action.name.lower().replace("_", " ")
        if self.action in (Action.FAIL, Action.SHORT):
            name += f" with {errno.errorcode[self.error]}"
        return f"{name} at operation {self.first}" + (" and all later" if self.last == NO_LIMIT else "")


class Control(ctypes.Structure):
    """The control block; `struct control` in interpose.c is equal."""

    _fields_ = (
        ("action", ctypes.c_uint32),
        ("error", ctypes.c_uint32),
        ("first", ctypes.c_uint64),
        ("last", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        ("injected", ctypes.c_uint64),
        ("lock", ctypes.c_uint32),
        ("is_recorded", ctypes.c_uint32),
        ("folder", ctypes.c_char * 512),
        ("record", ctypes.c_char * 512),
    )


class Interposer:
    """The compiled library and its control block, in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        """Compile the library. Raises RuntimeError without a C compiler."""
        self.library, self.file = folder / "interpose.so", folder / "control"
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            raise RuntimeError("There is no C compiler. Install one: apt-get install gcc libc6-dev")
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(self.library), str(SOURCE)]
        compiled = subprocess.run(command, capture_output=True, text=True)
        if compiled.returncode:
            hint = "Install the headers: apt-get install gcc libc6-dev"
            raise RuntimeError(f"{SOURCE.name} cannot be compiled. {hint}\n{compiled.stderr}")
        self.file.write_bytes(bytes(ctypes.sizeof(Control)))
        with self.file.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), ctypes.sizeof(Control))
        self.control = Control.from_buffer(self._map)

    def environment(self) -> dict[str, str]:
        """Return the environment of processes whose operations are interposed."""
        return {**os.environ, "LD_PRELOAD": str(self.library), "FAULTS_CONTROL": str(self.file)}

    def arm(self, folder: Path, fault: Fault, record: Path | None = None) -> None:
        """Count operations below a folder from 0, with a fault, and append them to a record."""
        control = self.control
        control.folder = b""  # off, while the block is written
        control.action, control.error = int(fault.action), fault.error
        control.first, control.last = fault.first, fault.last
        control.count = control.injected = control.lock = 0
        control.is_recorded = record is not None
        control.record = os.fsencode(record or "")
        control.folder = os.fsencode(folder)

    def disarm(self) -> None:
        """Stop counting; the counts remain."""
        self.control.folder = b""
