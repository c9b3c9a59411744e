"""Runs each order (a line of JSON) in a forked child, which may kill itself during it.

The child counts its calls that could affect a file or the database, and dies by SIGKILL just before
or just after one of them.
"""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))

from dying import die_at

from skillpm_registry.backend import BackendPlaces, open_backend
from skillpm_registry.service import open_registry

LATER = datetime(2200, 1, 1, tzinfo=UTC)
NOW = datetime(2024, 5, 17, 12, 30, tzinfo=UTC)
DANGEROUS = frozenset(
    {"open", "write", "fsync", "replace", "rename", "mkdir", "unlink", "close", "connect",
     "execute", "executemany", "commit", "flock", "fchmod", "chmod", "ftruncate", "pwrite"}
)  # fmt: skip


def obey(order: dict[str, Any]) -> str:
    folder, pack = Path(order["folder"]), Path(order["pack"])
    if order["action"] == "create":
        open_registry(folder, create=True)
        return "created"
    if order["action"] == "sweep":
        return sweep(folder, order["kill"])
    registry = open_registry(folder)
    image = (pack / "image").read_bytes()
    if order["kill"]:
        die_at(order["kill"], calls=DANGEROUS)
    published = registry.publish(image, lambda digest: (pack / digest.hex).open("rb"), now=NOW)
    sys.setprofile(None)
    return f"created={published.created}"


def sweep(folder: Path, kill: int) -> str:
    backend = open_backend(BackendPlaces.in_folder(folder))
    if kill:
        die_at(kill, calls=DANGEROUS)
    report = backend.collector.sweep(now=LATER, grace=timedelta(0))
    sys.setprofile(None)
    return f"blobs={report.blobs}"


def child(order: dict[str, Any]) -> None:
    if order["action"] == "create" and order["kill"]:
        die_at(order["kill"], calls=DANGEROUS)
    try:
        answer = obey(order)
    except Exception as problem:  # noqa: BLE001 - the parent test judges it
        answer = f"{type(problem).__name__}: {problem}"
    sys.setprofile(None)
    print(answer.replace("\n", " "), flush=True)  # noqa: T201
    os._exit(0)


for line in sys.stdin:
    forked = os.fork()
    if not forked:
        child(json.loads(line))
    if os.WIFSIGNALED(os.waitpid(forked, 0)[1]):
        print("killed", flush=True)  # noqa: T201
