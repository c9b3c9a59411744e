"""Compiled code on disk, in `SKILLPM_HOME/kernels/VERSION`: the one exception to law 5 (ADR 36).

An entry is machine code inside a pickle, so whoever can write it can run code as this user. The
folders therefore belong to this user with mode 0700, are reached without links, and neither they
nor a folder above them can be replaced by another user. Otherwise kernels compile in memory. Each
entry starts with its SHA-256 digest, so that a damaged file is not loaded.
"""

import hashlib
import os
import pickle
import stat
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from skillpm.delta.kernels.choice import SETTINGS, numba_module
from skillpm.errors import SkillpmError
from skillpm.files.access import PRIVATE, HomeFolder
from skillpm.files.errors import MissingFileError
from skillpm.files.ownership import is_owner_only
from skillpm.version import __version__

FOLDER = "kernels"
_VERSIONS = 8
"""The most versions whose code is kept."""
_DIGEST = 32
_LIMIT = 8_000_000
"""The largest entry that is read, in bytes."""


def kernel_folder(*, create: bool = False) -> HomeFolder | None:
    """Open the folder of compiled code; None if there is none that is safe to use."""
    home = SETTINGS.home
    if home is None:
        return None
    try:
        with HomeFolder.make(home) if create else HomeFolder.open(home) as top:
            return _private_below(top, create=create) if is_owner_only(home) else None
    except (SkillpmError, OSError):
        return None


def unsafe_folder() -> Path | None:
    """The home or the folder in it that keeps compiled code from being used; None if it is safe.

    Missing folders are safe: they are created private.
    """
    home = SETTINGS.home
    if home is None or not is_owner_only(home):
        return home
    place = home
    try:
        with ExitStack() as opened:
            folder = opened.enter_context(HomeFolder.open(home))
            for name in (FOLDER, version_name()):
                if not folder.has(name):
                    return None
                place = place / name
                folder = opened.enter_context(folder.subfolder(name))
                if not _is_private(folder):
                    return place
    except MissingFileError:
        return None
    except (SkillpmError, OSError):
        return place
    return None


def _private_below(top: HomeFolder, *, create: bool) -> HomeFolder | None:
    with top.subfolder(FOLDER, create=create, mode=PRIVATE.folder) as upper:
        if not _is_private(upper):
            return None
        if create and not upper.has(version_name()):
            _make_room(upper)
        folder = upper.subfolder(version_name(), create=create, mode=PRIVATE.folder)
    if _is_private(folder):
        return folder
    folder.close()
    return None


def _make_room(upper: HomeFolder) -> None:
    """Remove the versions that were written longest ago, so that another one may be added."""
    oldest_first = sorted(upper.statuses(), key=lambda entry: entry[1].st_mtime_ns)
    for name, _ in oldest_first[: max(0, len(oldest_first) - _VERSIONS + 1)]:
        upper.remove_tree(name)


def _is_private(folder: HomeFolder) -> bool:
    status = os.fstat(folder.fd)
    return status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == PRIVATE.folder


@cache
def version_name() -> str:
    """Return the name of this version's folder: skillpm, numba, Python, CPU and the sources."""
    numba = numba_module()
    assert numba is not None  # noqa: S101 - only kernels ask
    digest = hashlib.sha256(repr(_processor()).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    return f"{__version__}-numba{numba.__version__}-{python}-{digest.hexdigest()[:12]}"


def _processor() -> Any:
    """Return the target triple, the name of the CPU and its features."""
    return import_module("numba.core.registry").cpu_target.target_context.codegen().magic_tuple()


class CompiledCode:
    """The cache of one function, in the form that numba's dispatcher asks for.

    An entry that is missing, damaged or unsafe is compiled again. A failed write is ignored.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return the compiled function of a signature, or None."""
        target.refresh()
        data = self._read(self._entry(signature))
        if data is not None:
            payload = pickle.loads(data)  # noqa: S301 - only this user can have written it
            result = import_module("numba.core.compiler").CompileResult
            return result._rebuild(target, *payload)  # noqa: SLF001 - as numba's own cache does
        _announce()
        return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Store a compiled function, unless `without_saving` is in effect."""
        if not SETTINGS.saves:
            return
        dumps = import_module("numba.core.serialize").dumps
        data: bytes = dumps(compiled._reduce())  # noqa: SLF001 - as numba's own cache does
        with suppress(SkillpmError, OSError):
            folder = kernel_folder(create=True)
            if folder is not None:
                with folder:
                    folder.write(self._entry(signature), hashlib.sha256(data).digest() + data)

    def _entry(self, signature: Any) -> str:
        key = hashlib.sha256(repr(signature).encode()).hexdigest()[:12]
        return f"{self._name}.{key}"

    def _read(self, name: str) -> bytes | None:
        with suppress(SkillpmError, OSError):
            folder = kernel_folder()
            if folder is None:
                return None
            with folder:
                status = folder.status(name)
                if status is None or status.st_uid != os.geteuid():
                    return None
                entry = folder.read(name, limit=_LIMIT)
            digest, data = entry[:_DIGEST], entry[_DIGEST:]
            if hashlib.sha256(data).digest() == digest:
                return data
        return None


def _announce() -> None:
    """Say once in a process that kernels compile."""
    if not SETTINGS.announced:
        SETTINGS.announced = True
        later = "; later commands load them" if SETTINGS.saves else ""
        SETTINGS.say(f"compiling kernels for this machine{later}")
