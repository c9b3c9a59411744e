"""The kernel's record of what was opened, changed or removed in a folder."""

import ctypes
import os
import struct
from pathlib import Path

_EVENT = struct.Struct("iIII")
_ALL = 0x00000FFF
_NAMES = {
    0x001: "read", 0x002: "written", 0x004: "attributes", 0x008: "closed", 0x010: "closed",
    0x020: "opened", 0x040: "moved away", 0x080: "moved here", 0x100: "made", 0x200: "removed",
    0x400: "removed itself", 0x800: "moved itself",
}  # fmt: skip


class Witness:
    """Watches every folder of a tree with inotify and records events of all processes.

    Reading an entry's own status is not an event; opening, reading, writing, creating, moving and
    removing are.
    """

    def __init__(self, root: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self._fd >= 0, os.strerror(ctypes.get_errno())
        self._places: dict[int, Path] = {}
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            number = self._libc.inotify_add_watch(self._fd, os.fsencode(folder), _ALL)
            assert number >= 0, os.strerror(ctypes.get_errno())
            self._places[number] = folder
        self.events()

    def events(self) -> list[str]:
        """The events since the last call, in the kernel's order."""
        told: list[str] = []
        while True:
            try:
                data = os.read(self._fd, 1 << 16)
            except BlockingIOError:
                return told
            while data:
                number, mask, _, length = _EVENT.unpack_from(data)
                name = data[_EVENT.size : _EVENT.size + length].rstrip(b"\0")
                data = data[_EVENT.size + length :]
                told.append(f"{self._places[number] / os.fsdecode(name)} {_verb(mask)}")

    def close(self) -> None:
        os.close(self._fd)


def _verb(mask: int) -> str:
    return next((name for bit, name in _NAMES.items() if mask & bit), hex(mask))
