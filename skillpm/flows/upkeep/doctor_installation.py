"""`doctor`: check that the command and the package `skillpm` are those of this distribution.

The distribution is `skillpm-graft`. The package index also has a project named `skillpm`, which
installs a command and a package of the same name: each of the two overwrites files of the other.
"""

import os
import re
import shlex
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import Distribution, distributions
from pathlib import Path

from skillpm.flows.upkeep.doctor import OK, WARN, DoctorCheck
from skillpm.version import __version__

DISTRIBUTION = "skillpm-graft"
_PACKAGE = "skillpm"
_NAME = "install"
_SEPARATORS = re.compile(r"[-_.]+")
_HEAD = 1024
"""Bytes at the start of a script that may name its interpreter."""


def examine_installation() -> Iterator[DoctorCheck]:
    """Check for other distributions that install a command or a package `skillpm`."""
    others = _other_owners()
    for distribution in others:
        yield _overwritten(distribution)
    if not others:
        place = Path(__file__).parents[2]
        yield DoctorCheck(_NAME, OK, f"{DISTRIBUTION} {__version__}, imported from `{place}`")


def _other_owners() -> list[Distribution]:
    """The distributions beside skillpm-graft that install a command or a package `skillpm`."""
    found = {
        (_normalized(distribution), str(distribution.locate_file(""))): distribution
        for distribution in distributions()
        if _normalized(distribution) != DISTRIBUTION and _owns(distribution)
    }
    return [found[key] for key in sorted(found)]


def _normalized(distribution: Distribution) -> str:
    """The name as PyPI compares names (PEP 503); empty for damaged metadata."""
    return _SEPARATORS.sub("-", _name(distribution)).lower()


def _name(distribution: Distribution) -> str:
    metadata = distribution.metadata
    return metadata["Name"] if "Name" in metadata else ""  # noqa: SIM401 - it has no `get`


def _owns(distribution: Distribution) -> bool:
    """Whether a distribution installs a command or a package `skillpm`.

    Searches the text of RECORD: parsing it for every installed distribution takes seconds.
    """
    scripts = (e.name for e in distribution.entry_points if e.group == "console_scripts")
    files = distribution.read_text("RECORD") or ""
    packages = (distribution.read_text("top_level.txt") or "").split()
    return _PACKAGE in (*scripts, *packages) or f"\n{_PACKAGE}/" in f"\n{files}"


def _overwritten(distribution: Distribution) -> DoctorCheck:
    name = _name(distribution) or "?"
    return DoctorCheck(
        _NAME, WARN,
        f"the distribution `{name}` {distribution.version} in `{distribution.locate_file('')}` "
        f"also installs `{_PACKAGE}`; it is another project, and the one that was installed last "
        "has overwritten the other",
        f"`{shlex.quote(sys.executable)} -m pip uninstall {shlex.quote(name)}`, then install "
        f"{DISTRIBUTION} again",
    )  # fmt: skip


def examine_command() -> Iterator[DoctorCheck]:
    """Check that the first `skillpm` on the PATH runs this Python."""
    own = Path(sysconfig.get_path("scripts")) / _PACKAGE
    first = next(_commands_on_path(), None)
    if first is None:
        if own.is_file():
            message = f"`{own}` is not on the PATH"
            yield DoctorCheck("command", WARN, message, _path_hint(own.parent))
    elif _runs_this_python(first):
        yield DoctorCheck("command", OK, f"`{first}`")
    else:
        yield DoctorCheck(
            "command", WARN,
            f"the first `skillpm` on the PATH, `{first}`, is of another installation than this "
            f"Python, `{sys.executable}`",
            _path_hint(own.parent) if own.is_file() else f"remove `{first}` if it is an old one",
        )  # fmt: skip


def _commands_on_path() -> Iterator[Path]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        command = Path(folder or ".", _PACKAGE)
        if command.is_file() and os.access(command, os.X_OK):
            yield command


def _runs_this_python(command: Path) -> bool:
    """Whether a script is in this Python's folder, or names an interpreter of that folder.

    Installers write the interpreter into the first line, or the second one if its path is long.
    """
    folders = {str(Path(sys.executable).parent), sysconfig.get_path("scripts")}
    if str(Path(os.path.realpath(command)).parent) in folders | set(map(os.path.realpath, folders)):
        return True
    with suppress(OSError), command.open("rb") as file:
        head = file.read(_HEAD)
        return any(os.fsencode(folder) + b"/" in head for folder in folders)
    return False


def _path_hint(folder: Path) -> str:
    """The line that puts this Python's commands first on the PATH."""
    activate = folder / "activate"
    if sys.prefix != sys.base_prefix and activate.is_file():
        return f"`source {shlex.quote(str(activate))}`"
    return f'`export PATH={shlex.quote(str(folder))}:"$PATH"`'
