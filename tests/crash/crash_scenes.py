"""The folders that each command to be killed starts from."""

import shutil
from pathlib import Path

from crash_case import Killer, Scene

NAMES = ("init", "install", "uninstall", "rollback", "publish", "graft", "regraft", "lock")


def make_scenes(killer: Killer, folder: Path, models: dict[str, Path]) -> dict[str, Scene]:
    """A scene for each command. `models` are `base`, `math` and `sql`; all land in `folder`."""
    base = Path(shutil.copytree(models["base"], folder / "base"))
    packs = {}
    start = folder / "start"
    for part in ("project", "home"):
        (start / part).mkdir(parents=True)
    for name in ("math", "sql"):
        packs[name] = folder / f"{name}.skillpack"
        killer.ask(start, "pack", base, models[name], "--name", f"acme/{name}", "--version",
                   "1.0.0", "-o", packs[name])  # fmt: skip
    made = _Stage(killer, folder, start)
    published = made.stage("published", start, ("publish", packs["math"]))
    project = made.stage("made", published, ("init", "--base", "../../base"))
    full = made.stage("full", project, ("install", "acme/math"), ("install", packs["sql"]))
    grafted = made.stage("grafted", full, ("graft",), ("uninstall", "acme/sql"))
    emptied = made.stage("emptied", full, ("uninstall", "acme/math", "acme/sql"))
    edited = made.stage("edited", full)
    text = (edited / "project" / "skillpm.toml").read_text()
    (edited / "project" / "skillpm.toml").write_text(text.replace('"acme/sql" = "^1.0.0"\n', ""))
    return {
        "init": Scene("init", ("init", "--base", "../../base"), published),
        "install": Scene("install", ("install", "acme/math", str(packs["sql"])), project),
        "uninstall": Scene("uninstall", ("uninstall", "acme/math"), full),
        "rollback": Scene("rollback", ("rollback",), emptied),
        "publish": Scene("publish", ("publish", str(packs["sql"])), published),
        "graft": Scene("graft", ("graft",), full),
        "regraft": Scene("regraft", ("graft",), grafted),
        "lock": Scene("lock", ("lock",), edited),
    }


class _Stage:
    def __init__(self, killer: Killer, folder: Path, start: Path) -> None:
        self._killer = killer
        self._folder = folder
        self._start = start

    def stage(self, name: str, before: Path, *commands: tuple[object, ...]) -> Path:
        """A copy of another stage, after some commands."""
        made = Path(shutil.copytree(before, self._folder / name))
        for command in commands:
            self._killer.ask(made, *command)
        return made
