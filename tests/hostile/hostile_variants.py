"""The attacks: each file of a project's state, replaced by each kind of hostile entry."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from hostile_entries import THINGS, Put
from hostile_files import clear
from hostile_folders import Ground


@dataclass(frozen=True)
class Variant:
    """One attack on a fresh project."""

    name: str
    prepare: Callable[[Ground], None]


def _places() -> list[str]:
    mark = f".{os.getpid()}.tmp"
    return [
        ".skillpm", ".skillpm/current", ".skillpm/journal.json", ".skillpm/holder.json",
        ".skillpm/lock", ".skillpm/lock.claim", ".skillpm/.gitignore", ".skillpm/generations",
        ".skillpm/generations/0.json", ".skillpm/generations/1.json", ".skillpm/generations/2.json",
        ".skillpm/generations/3.json", f".skillpm/generations/.3.json{mark}",
        f".skillpm/.current{mark}", f".skillpm/.journal.json{mark}", f".skillpm/.holder.json{mark}",
        "skillpm.toml", "skillpm.lock", f".skillpm.toml{mark}", f".skillpm.lock{mark}",
        "graft", "graft/.skillpm-graft.json", "graft/model.safetensors", "graft/config.json",
        "graft/deep/extra.txt", ".graft.skillpm-new", ".graft.skillpm-old",
    ]  # fmt: skip


def _thing(where: str, put: Put) -> Callable[[Ground], None]:
    def prepare(ground: Ground) -> None:
        place = ground.project / where
        if place.parent.is_dir() or where.startswith("graft/"):
            clear(place)
            put(ground, place)

    return prepare


BAD_SKILLS: list[Any] = [7, [7], [{}], [{"skill": "../../outside"}]]
NUMBERS: list[Any] = [
    -1, 0, 1, 2, 3, 4, 10**9, 10**30, 1.5, 1e308, True, None, "1", "../../outside/1", [], {},
    "{outside}/1", "1/../../../../outside/1", "\u0661", "0x1",
]  # fmt: skip
NAMES: list[Any] = [
    "../../outside/secret.txt", "{outside}/secret.txt", ".skillpm/current", "", ".", "..", "a\0b",
    "skillpm.toml/../../outside", 7, None, ["skillpm.toml"], "x" * 5000,
]  # fmt: skip


def _written(where: str, document: Any) -> Callable[[Ground], None]:
    """A record with this content, where `{outside}` is the user's folder."""

    def prepare(ground: Ground) -> None:
        text = document if isinstance(document, str) else json.dumps(document)
        text = text.replace("{outside}", str(ground.outside))
        text = text.replace("{elsewhere}", str(ground.elsewhere))
        (ground.project / where).write_bytes(text.encode(errors="surrogatepass"))

    return prepare


def _journals() -> Iterator[tuple[str, Any]]:
    file = {"name": "skillpm.toml", "before": None, "after": "x"}
    for number in NUMBERS:
        yield f"number {number!r}", {"kind": "switch", "number": number, "files": []}
    for name in NAMES:
        files = [{**file, "name": name}]
        yield f"file {name!r}"[:60], {"kind": "switch", "number": 2, "files": files}
    for wrong in ({"before": 5}, {"after": None}, {"before": "sha256:x"}, {"name": "skillpm.lock"}):
        yield f"file {wrong}", {"kind": "switch", "number": 2, "files": [{**file, **wrong}]}
    yield "many files", {"kind": "switch", "number": 2, "files": [file] * 100}
    for kind in ("graft", "swap", 7, None, ["graft"], "switch"):
        yield f"kind {kind!r}", {"kind": kind}
    for ready in (True, False, 1, "yes", None):
        old = {"target": "{outside}/here", "staged": "{outside}/precious", "old": "{outside}/tmp"}
        yield f"paths, ready {ready!r}", {"kind": "graft", "ready": ready, **old}
        for below, name in (
            ([".."], "precious"), (["..", "..", "outside"], "precious"), (["sub"], "precious"),
            (["{outside}"], "precious"), ([""], "precious"), ("../..", "precious"),
            (["../../outside"], "precious"), ([], "../../outside/precious"), ([], ""), ([], ".."),
            ([], "{outside}/precious"), ([".skillpm"], "generations"), ([], "skillpm.toml"),
            ([], ".skillpm"), ([7], "precious"), (["a"] * 5000, "precious"), ([], "graft"),
        ):  # fmt: skip
            names = {"folder": below, "name": name}
            yield f"{below!r} {name!r} {ready!r}"[:70], {"kind": "graft", "ready": ready, **names}


def _journaled(document: Any) -> Callable[[Ground], None]:
    def prepare(ground: Ground) -> None:
        (ground.project / "sub").symlink_to(ground.outside)
        _written(".skillpm/journal.json", document)(ground)

    return prepare


def _changed(where: str, **change: Any) -> Callable[[Ground], None]:
    """A JSON record with some keys changed."""

    def prepare(ground: Ground) -> None:
        plain = json.loads((ground.project / where).read_text())
        _written(where, {**plain, **change})(ground)

    return prepare


def _generations() -> Iterator[tuple[str, Callable[[Ground], None]]]:
    where = ".skillpm/generations/1.json"
    wishes: list[Any] = [5, {"acme/math": 5}, {"../x": {}}, {"acme/math": {"version": 7}},
                         {"acme/math": {"version": "^1", "registry": "../../outside"}}]  # fmt: skip
    changes: list[dict[str, Any]] = [
        *({"number": number} for number in NUMBERS),
        *({"wishes": wish} for wish in wishes),
        *({"lock": text} for text in ("", "version = 1", "[" * 5000, "\0", "version = 99", 7)),
        *({"skills": skills} for skills in BAD_SKILLS),
        *({"created": text} for text in ("", "now", "\x1b[2J", 7)),
        {"pruned": "2020"}, {"pruned": 7}, {"action": "\x1b]0;owned\x07"}, {"format": 2},
        {"base_root": "{outside}"},
    ]  # fmt: skip
    for change in changes:
        yield f"generation {change!r}"[:70], _changed(where, **change)


def _holders() -> Iterator[tuple[str, Any]]:
    sound = {"pid": 1, "command": "install", "since": 1.0, "host": "", "boot": "", "space": ""}
    changes: list[dict[str, Any]] = [
        *({"pid": pid} for pid in (-1, 0, 1, 10**30, "1", True, 1.5, None)),
        *({"since": since} for since in (-1e308, 1e308, "1", None, 10**400)),
        *({"command": text} for text in ("\x1b[2J", "x" * 10**6, 7, None)),
        {"host": "far"}, {"host": 7}, {"extra": 1}, {"space": "pid:[1]"},
    ]  # fmt: skip
    for change in changes:
        yield f"{change!r}"[:50], {**sound, **change}


def _projects() -> Iterator[tuple[str, str]]:
    """Lines for skillpm.toml with bases and registries outside the project."""
    for base in ("/dev/zero", "/dev/null", "{elsewhere}/pipe", "{elsewhere}/huge", "{elsewhere}",
                 "{elsewhere}/precious", "a\\u0000b", "~no-such-user/x", "x" * 5000, ".skillpm",
                 "/proc/self/mem"):  # fmt: skip
        yield f"base {base[:30]}", f'[project]\nbase = "{base}"\nroot = "@root"\n[skills]\n'
    for url in ("/", "{elsewhere}", "{elsewhere}/empty", "{elsewhere}/new", "../../elsewhere/tmp",
                "file://{elsewhere}/precious", "~no-such-user/x", ".skillpm", "{elsewhere}/pipe",
                "a\\u0000b", "https://u:p@[::1", "x" * 5000):  # fmt: skip
        yield (
            f"registry {url[:30]}",
            (
                '[project]\nbase = "@base"\nroot = "@root"\n[skills]\n"acme/math" = "*"\n'
                f'[registries]\ndefault = "{url}"\n'
            ),
        )


def _project_file(text: str) -> Callable[[Ground], None]:
    def prepare(ground: Ground) -> None:
        before = (ground.project / "skillpm.toml").read_text()
        base = before.partition('base = "')[2].partition('"')[0]
        filled = text.replace("@root", ground.base_root()).replace("@base", base)
        _written("skillpm.toml", filled)(ground)

    return prepare


def _stamps() -> Iterator[tuple[str, dict[str, Any]]]:
    digest = "sha256:" + "0" * 64
    for name in ("../../outside/secret.txt", "{outside}/secret.txt", "sub/secret.txt", "", "a//b",
                 "../.skillpm/current", "\0", "x" * 5000, "/".join("a" * 500)):  # fmt: skip
        yield f"stamp {name[:30]!r}", {"files": {name: digest}}
    for change in ({"files": 7}, {"files": {"config.json": 7}}, {"skills": 7}, {"root": 7},
                   {"format": "1"}, {"skills": [{"digest": "{outside}", "weight": "x"}]},
                   {"sums": 7}, {"graft": 7}, {"base_root": None}):  # fmt: skip
        yield f"stamp {change!r}"[:60], change


def _stamped(change: dict[str, Any]) -> Callable[[Ground], None]:
    def prepare(ground: Ground) -> None:
        (ground.project / "graft" / "sub").symlink_to(ground.outside)
        _changed("graft/.skillpm-graft.json", **change)(ground)

    return prepare


def _hard_link(where: str) -> Callable[[Ground], None]:
    def prepare(ground: Ground) -> None:
        place = ground.project / where
        clear(place)
        os.link(ground.elsewhere / "settings.json", place)

    return prepare


def variants() -> list[Variant]:
    """Every attack, in a fixed order."""
    made = [
        Variant(f"{where}: {what}", _thing(where, put))
        for where, (what, put) in product(_places(), THINGS.items())
    ]
    made += [Variant(f"journal: {name}", _journaled(plain)) for name, plain in _journals()]
    made += [
        Variant(f"pointer: {str(text)[:30]!r}", _written(".skillpm/current", str(text)))
        for text in (*NUMBERS, "1\n2", " 1 ", "9" * 900, "9" * 5000, "\0", "+1", "1e3")
    ]
    made += [Variant(name, prepare) for name, prepare in _generations()]
    for where in ("holder.json", "lock.claim"):
        made += [Variant(f"{where}: {name}", _written(f".skillpm/{where}", plain))
                 for name, plain in _holders()]  # fmt: skip
    made += [Variant(name, _project_file(text)) for name, text in _projects()]
    made += [Variant(name, _stamped(change)) for name, change in _stamps()]
    made += [Variant(f"{where}: hard link", _hard_link(where)) for where in _places()]
    return [replace(attack, name=f"{n} {attack.name}") for n, attack in enumerate(made)]
