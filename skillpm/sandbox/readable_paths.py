"""The paths that a worker may read: Python, its installed packages, and shared libraries."""

import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_SYSTEM = (
    "/lib", "/lib64", "/lib32", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache",
    "/etc/localtime", "/usr/share/zoneinfo",
)  # fmt: skip
"""Folders of shared libraries in Linux, for modules that are imported after the confinement."""


PROGRAM_PATH = ("/usr/local/bin", "/usr/bin", "/bin")
"""Folders of programs that a worker may become, if the policy allows it."""
_PROGRAM_FILES = (*PROGRAM_PATH, "/etc/alternatives", "/usr/share/awk", "/usr/share/perl")


def readable_paths(*, programs: bool = False) -> list[str]:
    """The readable paths, absolute and sorted. Call it after importing the worker's module.

    With `programs`, they include the folders of installed programs.

    Another folder on `sys.path`, which is not a folder of Python or of site packages, could be a
    home or a project. In such a folder, only the packages that are already imported are readable.
    """
    paths = {
        os.path.abspath(path)  # noqa: PTH100 - keeps links
        for path in (
            *_SYSTEM,
            *_python(),
            *_packages(),
            *_mapped(),
            *(_PROGRAM_FILES if programs else ()),
        )
        if path and os.path.isabs(path)  # noqa: PTH117
    }
    return sorted(path for path in paths - {"/"} if os.path.exists(path))  # noqa: PTH110


def _python() -> Iterator[str]:
    for name in ("stdlib", "platstdlib", "purelib", "platlib"):
        yield sysconfig.get_path(name)
    yield f"{sys.base_prefix}/lib"
    yield from site.getsitepackages()
    if site.ENABLE_USER_SITE:
        yield site.getusersitepackages()


def _packages() -> Iterator[str]:
    for name, module in list(sys.modules.items()):
        if "." in name or name == "__main__":
            continue
        folders = list(getattr(module, "__path__", None) or ())
        yield from folders or filter(None, [getattr(module, "__file__", None)])


def _mapped() -> Iterator[str]:
    """The shared libraries that this process has mapped."""
    with suppress(OSError):
        for line in Path("/proc/self/maps").read_text().splitlines():
            path = line[line.find("/") :] if "/" in line else ""
            if ".so" in Path(path).name:
                yield path
