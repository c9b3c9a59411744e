"""Check a case's folders after a kill: complete, nothing lost, nothing left over."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crash_case import Killer
from skillpm_world import snapshot

from skillpm.environment.generation import parse_generation
from skillpm.errors import SkillpmError
from skillpm.spec.digests import Digest
from skillpm.store.blobs import Store
from skillpm.store.packs import load_pack

MARKS = (".tmp", ".skillpm-new", ".skillpm-old", "holder.json", "journal.json")
STAGING = ("home/tmp", "home/grafts", "home/store/tmp", "home/registry/tmp", "team/tmp")
HARMLESS = frozenset(
    {"unsigned", "no-provenance", "no-license", "yanked", "advisory", "unlisted", "lock-ahead",
     "lock-drift", "graft-stale"}
)  # fmt: skip
"""Findings of an audit about trust or drift, not about bytes."""


class BrokenStateError(AssertionError):
    """Something is incomplete or wrong."""


class LostGenerationError(AssertionError):
    """A completed generation is missing, or a number is."""


class LeakedFileError(AssertionError):
    """A temporary file is left over."""


@dataclass(frozen=True)
class Final:
    """The state that must be equal with and without the kill."""

    history: list[Any]
    files: dict[str, str]
    published: list[Any]
    blobs: list[str]


def final_state(killer: Killer, case: Path) -> Final:
    """Generations without times; all files of the user; releases, advisories, blobs."""
    files = {
        name: text
        for name, text in snapshot(case).items()
        if not name.startswith(("home", "project/.skillpm", "team/"))
    }
    blobs = sorted(map(str, Store(case / "home" / "store").blobs()))
    return Final(history(killer, case), files, published(killer, case), blobs)


def history(killer: Killer, case: Path) -> list[Any]:
    """The generations, without times; none if there is no project."""
    if not (case / "project" / "skillpm.toml").exists():
        return []
    found = killer.ask(case, "history")["generations"]
    return [{**one, "created": "", "pruned": bool(one["pruned"])} for one in found]


def published(killer: Killer, case: Path) -> list[Any]:
    """Every release and advisory of the embedded registry, without times."""
    names = [one["skill"] for one in killer.ask(case, "search")["results"]]
    shown = [killer.ask(case, "show", name)["releases"] for name in sorted(names)]
    advisories = killer.ask(case, "registry", "advisory", "list")["advisories"]
    document = [{**one, "modified": "", "withdrawn": bool(one["withdrawn"])} for one in advisories]
    return [*shown, *document]


def has_project(case: Path) -> bool:
    """Whether an environment exists."""
    return (case / "project" / ".skillpm" / "current").exists()


def shown(killer: Killer, case: Path) -> tuple[str, ...] | None:
    """The installed skills of `list`; None if there is no project."""
    if not has_project(case):
        return None
    listed = killer.ask(case, "list")["skills"]
    return tuple(f"{one['skill']} {one['version']}" for one in listed)


def check_reading(killer: Killer, case: Path) -> None:
    """Check that reading commands show a complete generation and write nothing."""
    if not has_project(case):
        return
    before = snapshot(case)
    listed, document = killer.ask(case, "list"), killer.ask(case, "history")
    if snapshot(case) != before:
        raise BrokenStateError("a reading command wrote")
    check_numbers(document)
    if listed["generation"] != document["current"]:
        raise BrokenStateError((listed, document))


def check_numbers(document: dict[str, Any]) -> None:
    """Check that numbers are consecutive and the current one is the last."""
    numbers = [one["number"] for one in document["generations"]]
    if numbers != list(range(document["current"] + 1)):
        raise LostGenerationError(document)


def check_clean(case: Path, but: tuple[str, ...] = ()) -> None:
    """Check that no file of an unfinished command is left: staged files and folders, journals.

    Another registry than the project's own, such as `but`, is cleaned up by its next writer.
    """
    found = [name for name in snapshot(case) if any(mark in name for mark in MARKS)]
    for folder in STAGING:
        if (case / folder).exists():
            found.extend(str(path.relative_to(case)) for path in (case / folder).iterdir())
    if found := [name for name in found if not name.startswith(but)]:
        raise LeakedFileError(found)


def check_whole(killer: Killer, case: Path) -> None:
    """Check installed packs, grafts, every generation's blobs and registries."""
    if has_project(case):
        outcome = killer.run(case, "audit", "--json")
        found = outcome.json.get("findings")
        if found is None:
            raise BrokenStateError(outcome)
        if bad := [one for one in found if one["code"] not in HARMLESS]:
            raise BrokenStateError(bad)
        check_blobs(case)
    for folder in ("home/registry", "team"):
        if (case / folder / "registry.db").exists():
            check_registry(case / folder)


def check_blobs(case: Path) -> None:
    """Check that the store has every blob of every generation that was not pruned."""
    store, folder = Store(case / "home" / "store"), case / "project" / ".skillpm" / "generations"
    for path in sorted(folder.glob("*.json")):
        generation = parse_generation(path.read_bytes(), path.name)
        for one in generation.skills if generation.pruned is None else ():
            try:
                missing = [blob for blob in load_pack(store, one.digest).image.blobs
                           if not store.is_whole(blob)]  # fmt: skip
            except SkillpmError as problem:
                raise BrokenStateError(problem.message) from problem
            if missing:
                raise BrokenStateError((path.name, one.ref, missing))


def check_registry(folder: Path) -> None:
    """Check that SQLite finds no fault, and that every blob of the catalogue exists."""
    with closing(sqlite3.connect(folder / "registry.db")) as connection:
        faults = connection.execute("PRAGMA integrity_check").fetchall()
        faults += connection.execute("PRAGMA foreign_key_check").fetchall()
        blobs = connection.execute("SELECT digest, size FROM blob").fetchall()
    if faults != [("ok",)]:
        raise BrokenStateError(faults)
    for digest, size in blobs:
        path = folder / "blobs" / "sha256" / Digest(digest).hex[:2] / Digest(digest).hex
        data = path.read_bytes() if path.exists() else b""
        if (str(Digest.of(data)), len(data)) != (digest, size):
            raise BrokenStateError(f"registry blob {digest} is missing or damaged")
