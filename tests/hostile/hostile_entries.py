"""Entries that replace a file of a project's state."""

import os
import socket
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

from hostile_files import deepen
from hostile_folders import Ground

Put = Callable[[Ground, Path], None]


def _link(target: str) -> Put:
    def put(ground: Ground, place: Path) -> None:
        place.symlink_to(target.format(outside=ground.outside))

    return put


def _relative(ground: Ground, place: Path) -> None:
    place.symlink_to(os.path.relpath(ground.outside / "settings.json", place.parent))


def _to_itself(_ground: Ground, place: Path) -> None:
    place.symlink_to(place.name)


def _within(ground: Ground, place: Path) -> None:
    """A link inside the project to another link that leads outside."""
    (ground.project / "step").symlink_to(ground.outside / "settings.json")
    place.symlink_to(os.path.relpath(ground.project / "step", place.parent))


def _pipe(_ground: Ground, place: Path) -> None:
    os.mkfifo(place)


def _socket(_ground: Ground, place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening, chdir(place.parent):
        listening.bind(place.name)


def _device(_ground: Ground, place: Path) -> None:
    try:
        os.mknod(place, 0o20666, os.makedev(1, 5))
    except PermissionError:
        place.symlink_to("/dev/zero")


def _folder(_ground: Ground, place: Path) -> None:
    (place / "a" / "b").mkdir(parents=True)
    (place / "a" / "file").write_text("x")


def _deep(_ground: Ground, place: Path) -> None:
    place.mkdir()
    deepen(os.open(place, os.O_RDONLY), 1200)


def _huge(_ground: Ground, place: Path) -> None:
    with place.open("wb") as file:
        file.truncate(1 << 40)


def _bytes(data: bytes) -> Put:
    def put(_ground: Ground, place: Path) -> None:
        place.write_bytes(data)

    return put


def _denied(_ground: Ground, place: Path) -> None:
    place.write_text("{}")
    place.chmod(0)


THINGS: dict[str, Put] = {
    "link to a file": _link("{outside}/settings.json"),
    "relative link": _relative,
    "link to a number": _link("{outside}/number"),
    "link to a folder": _link("{outside}/precious"),
    "link to a state": _link("{outside}/state"),
    "link to what is not there": _link("{outside}/new"),
    "link to a pipe": _link("{outside}/pipe"),
    "link to a device": _link("/dev/zero"),
    "link to itself": _to_itself,
    "link over a link": _within,
    "pipe": _pipe,
    "socket": _socket,
    "device": _device,
    "folder": _folder,
    "deep folder": _deep,
    "huge file": _huge,
    "nothing": _bytes(b""),
    "deep JSON": _bytes(b"[" * 100_000),
    "no text": _bytes(b"\xff\xfe\0\0"),
    "denied": _denied,
}
