"""What a worker may read: Python, its installed packages, and shared libraries. Nothing else."""

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
"""Where Linux has shared libraries; the loader asks there for those of modules imported later."""


def readable_paths() -> list[str]:
    """The paths, absolute and sorted, after the worker's modules have been imported.

    A folder on `sys.path` that is neither Python's nor a site's may be anything, a home or a
    project too: of such a one only the packages that are imported by now are readable.
    """
    found = {
        os.path.abspath(path)  # noqa: PTH100 - a link stays one: it is followed by its name
        for path in (*_SYSTEM, *_python(), *_packages(), *_mapped())
        if path and os.path.isabs(path)  # noqa: PTH117
    }
    return sorted(path for path in found - {"/"} if os.path.exists(path))  # noqa: PTH110


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
