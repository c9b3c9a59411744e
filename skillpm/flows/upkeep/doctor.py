"""`doctor`: check the system, the home and the project for problems."""

import errno
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from skillpm.checkpoint.files import OpenFile
from skillpm.checkpoint.place import clone
from skillpm.delta.kernels.cache import FOLDER as KERNELS
from skillpm.delta.kernels.choice import VARIABLE
from skillpm.delta.kernels.status import kernel_status
from skillpm.environment.drift import drift
from skillpm.environment.project import ProjectFolder
from skillpm.environment.transaction import check_journal
from skillpm.errors import NotFoundError, SkillpmError
from skillpm.files.access import is_shared_folder
from skillpm.files.named import expanded
from skillpm.flows.packs.protocol import check_is
from skillpm.flows.packs.quarantine import quarantines_of
from skillpm.flows.packs.registries import Registries
from skillpm.flows.session.base_model import check_base, open_base
from skillpm.flows.session.bindings import location_of
from skillpm.flows.session.permissions import exposed_places, written_places
from skillpm.flows.session.session import Session
from skillpm.index.open import is_on_network
from skillpm.journal.atomic import sync_file, sync_folder
from skillpm.journal.owner import ProcessState
from skillpm.libraries import installed
from skillpm.spec.project import DEFAULT_REGISTRY
from skillpm.spec.words import counted
from skillpm.store.packs import is_complete, load_pack
from skillpm.version import __version__

OK, WARN, FAIL = "ok", "warn", "fail"
_LOW = 1_000_000_000
_FULL = 50_000_000


@dataclass(frozen=True)
class DoctorCheck:
    """One check: its status (`ok`, `warn` or `fail`), the finding, and a hint to fix it."""

    name: str
    status: str
    message: str
    hint: str | None = None


def examine(session: Session) -> list[DoctorCheck]:
    """Run every check. Later checks rely on earlier ones."""
    project = ProjectFolder(session.project)
    checks = [_python(), *_extras(), _folder(session.home, "home"), _space(session.home, "home")]
    checks += [_kernels(), *_access(session)]
    if not project.has_file:
        return [*checks, DoctorCheck("project", WARN, "there is no skillpm.toml here", _INIT)]
    checks += [_folder(project.folder, "project"), _space(project.folder, "project")]
    steps: list[tuple[str, Callable[[Session, ProjectFolder], Iterator[DoctorCheck]]]] = [
        ("files", _features),
        ("project", _project),
        ("lock", _leftovers),
        ("base", _base),
        ("registry", _registries),
        ("store", _store),
    ]
    for name, step in steps:
        try:
            checks.extend(step(session, project))
        except SkillpmError as problem:
            checks.append(DoctorCheck(name, FAIL, problem.message, problem.hint))
        except OSError as problem:
            checks.append(DoctorCheck(name, FAIL, f"`{problem.filename}`: {problem.strerror}"))
    return checks


_INIT = "to create a project: `skillpm init --base ./model`"


def _python() -> DoctorCheck:
    found = ".".join(map(str, sys.version_info[:3]))
    return DoctorCheck("python", OK, f"Python {found}, skillpm {__version__}")


def _extras() -> Iterator[DoctorCheck]:
    """Read the versions of optional packages from their metadata: importing them takes seconds."""
    for name, reason in (
        ("torch", "lossy schemes need it"),
        ("transformers", "`pack --calibration` and `probe` need it"),
    ):
        found = installed(name)
        if found is not None:
            yield DoctorCheck(name, OK, f"{name} {found}")
        else:
            yield DoctorCheck(
                name, WARN, f"{name} is not installed: {reason}", f"`pip install {name}`"
            )


def _kernels() -> DoctorCheck:
    """Check what runs the inner loops of the codecs. Imports numba, to be sure that it works."""
    status = kernel_status()
    if status.problem:
        message = f"numpy, several times slower: numba cannot be imported ({status.problem})"
        return DoctorCheck("kernels", WARN, message, "`pip install numba`")
    if status.implementation == "numpy":
        return DoctorCheck("kernels", OK, f"numpy, as {VARIABLE} demands")
    if status.entries is None:
        message = f"numba {status.numba}, compiled again by every command"
        if status.folder:
            message += f": `{status.folder}` is not private"
        return DoctorCheck("kernels", WARN, message, _privacy_hint(Path(status.folder)))
    found = counted(status.entries, "compiled function")
    return DoctorCheck("kernels", OK, f"numba {status.numba}, {found} in `{status.folder}`")


def _privacy_hint(place: Path) -> str:
    """How to make a folder of compiled code private, or the home that it is in."""
    quoted = shlex.quote(str(place))
    if KERNELS not in (place.name, place.parent.name):
        return "the check `access` names the folder to change"
    if place.is_dir() and not place.is_symlink() and place.lstat().st_uid == os.geteuid():
        return f"`chmod 700 {quoted}`"
    return f"remove `{quoted}`: the next command creates a folder that only you can write"


def _folder(folder: Path, name: str) -> DoctorCheck:
    nearest = _existing(folder)
    try:
        with _probe(nearest) as path:
            (path / "file").write_bytes(b"skillpm")
            sync_file(path / "file")
            sync_folder(path)
    except OSError as problem:
        hint = "set SKILLPM_HOME to a writable folder" if name == "home" else None
        return DoctorCheck(name, FAIL, f"`{folder}` cannot be written: {problem.strerror}", hint)
    missing = "" if nearest == folder else ", which does not exist yet,"
    return DoctorCheck(name, OK, f"`{folder}`{missing} can be written")


def _space(folder: Path, name: str) -> DoctorCheck:
    free = shutil.disk_usage(_existing(folder)).free
    status = FAIL if free < _FULL else WARN if free < _LOW else OK
    hint = None if status == OK else "free some space: a graft takes as much as its base"
    return DoctorCheck("disk", status, f"{free / 1e9:.2f} GB free for the {name}", hint)


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.is_dir())


@contextmanager
def _probe(folder: Path) -> Iterator[Path]:
    """A temporary folder to try writes in; removed at the end."""
    path = Path(tempfile.mkdtemp(prefix=".skillpm-probe-", dir=folder))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _features(_session: Session, project: ProjectFolder) -> Iterator[DoctorCheck]:
    """Check how a graft can share unchanged files with its base: by clones or hard links."""
    with _probe(project.folder) as path:
        (path / "one").write_bytes(b"skillpm")
        clones = clone(OpenFile(path / "one"), path / "two")
        try:
            os.link(path / "one", path / "three")
            links = True
        except OSError as problem:
            if problem.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
                raise
            links = False
    parts = [f"{'can' if clones else 'cannot'} clone", f"{'can' if links else 'cannot'} hard-link"]
    hint = None if clones else "untouched shards are copied; `graft --link` links them"
    yield DoctorCheck("files", OK, f"the project's file system {' and '.join(parts)} files", hint)


def _project(_session: Session, project: ProjectFolder) -> Iterator[DoctorCheck]:
    current = project.generation()
    notes = drift(project, current)
    for note in notes:
        yield DoctorCheck("project", WARN, note)
    if not notes:
        skills = counted(len(current.skills), "skill")
        yield DoctorCheck("project", OK, f"generation {current.number}, {skills}")


def _access(session: Session) -> Iterator[DoctorCheck]:
    """Check whether another user can write the places that skillpm trusts."""
    places = exposed_places(session)
    for place in places:
        hint = f"`chmod go-w {shlex.quote(str(place.path))}`"
        if place.is_foreign:
            hint = "use folders that you own: the owner of this one can change it at any time"
        yield DoctorCheck("access", WARN, f"{place}: skillpm does not trust files there", hint)
    if not places:
        yield DoctorCheck("access", OK, "only you can write home, store, project and registries")
    for folder in filter(is_shared_folder, written_places(session)):
        yield DoctorCheck("access", OK, f"`{folder}` is shared with its group")


def _leftovers(_session: Session, project: ProjectFolder) -> Iterator[DoctorCheck]:
    owner = project.holder()
    now = _session.now.timestamp()
    if owner is None:
        yield DoctorCheck("lock", OK, "no command holds the project")
    elif owner.state() is ProcessState.ALIVE:
        yield DoctorCheck("lock", OK, f"in use by {owner.describe(now)}")
    else:
        dead = (
            "which was killed"
            if owner.state() is ProcessState.DEAD
            else "which runs on another machine or in a container"
        )
        hint = "the next command that writes takes over the lock"
        yield DoctorCheck("lock", WARN, f"held by {owner.describe(now)}, {dead}", hint)
    if project.was_cut_off:
        try:
            check_journal(project)
        except SkillpmError as problem:
            yield DoctorCheck("journal", FAIL, problem.message, problem.hint)
        else:
            hint = "to complete or undo its change: `skillpm install`"
            yield DoctorCheck("journal", WARN, "a command was interrupted", hint)


def _base(session: Session, project: ProjectFolder) -> Iterator[DoctorCheck]:
    base = open_base(session, project)
    found = session.identify(base, "hashing base").root
    check_base(found, project.read_file().root, base.label)
    yield DoctorCheck("base", OK, f"`{base.label}` is {found.short}")


def _registries(session: Session, project: ProjectFolder) -> Iterator[DoctorCheck]:
    file = project.read_file()
    for name in sorted({DEFAULT_REGISTRY, *file.registries}):
        try:
            location = location_of(session, file, name)
            count = len(session.connect(location, False).skills())
        except SkillpmError as problem:
            yield DoctorCheck("registry", FAIL, f"`{name}`: {problem.message}", problem.hint)
        else:
            listed = counted(count, "skill") if location.folder else "a registry"
            yield DoctorCheck("registry", OK, f"`{name}`: {listed} in {location}")
            if location.folder and is_on_network(expanded(location.folder)):
                yield _shared_registry(name)

    lock = project.read_lock()
    for quarantine in quarantines_of(Registries(session, file), lock) if lock else ():
        yield DoctorCheck("registry", FAIL, quarantine.message, quarantine.hint)


def _shared_registry(name: str) -> DoctorCheck:
    return DoctorCheck(
        "registry", WARN,
        f"`{name}` is on a network file system: publishers wait for each other, and SQLite's "
        "journal mode is DELETE",
        "serve the registry from one machine: `skillpm registry serve`",
    )  # fmt: skip


def _store(session: Session, project: ProjectFolder) -> Iterator[DoctorCheck]:
    """Check that all blobs of every installed pack are in the store, and check its documents."""
    store = session.store
    missing = []
    installed = project.generation().installed
    for skill, entry in installed.items():
        complete = False
        with suppress(NotFoundError):
            check_is(load_pack(store, entry.digest), skill, entry.version)
            complete = is_complete(store, entry.digest)
        if not complete:
            missing.append(entry.ref)
    if missing:
        named = ", ".join(missing)
        yield DoctorCheck(
            "store", FAIL, f"blobs of {named} are missing", "to fetch them: `skillpm install`"
        )
    else:
        packs = counted(len(installed), "complete pack")
        yield DoctorCheck("store", OK, f"{packs} in `{session.home / 'store'}`")
