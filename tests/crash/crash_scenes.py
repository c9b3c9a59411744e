"""The initial folders of each killed command; every command that writes has a scene."""

import json
import shutil
import time
from pathlib import Path

from crash_case import Killer, Scene
from plain_models import plain_tensors, write_plain, write_tuned

BASE = "../../base"
TUNED = {"math-1.0.0": ("mlp", 1), "math-1.1.0": ("mlp", 2), "sql-1.0.0": ("self_attn", 3),
         "code-1.0.0": ("norm", 4), "spare-1.0.0": ("lm_head", 5)}  # fmt: skip
ADVISORY = {
    "id": "ACME-1",
    "modified": "2026-01-01T00:00:00Z",
    "summary": "sums are off",
    "affected": [
        {
            "package": {"ecosystem": "skillpm", "name": "acme/math"},
            "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}],
        }
    ],
}
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("published", f"init --base {BASE}"),
    "install": ("made", "install acme/math acme/code"),
    "install-weight": ("full", "install acme/math --weight 0.5"),
    "config-set": ("full", "config set graft.method ties graft.density 0.3 workers 2"),
    "config-unset": ("settled", "config unset graft.method workers"),
    "config-user": ("full", "config set workers 2 color never --user"),
    "install-file": ("made", "install acme/math ../../sql-1.0.0.skillpack"),
    "install-from": ("bundled", f"install --from ../all.skillbundle --base {BASE}"),
    "uninstall": ("full", "uninstall acme/math"),
    "upgrade": ("full", "upgrade"),
    "rollback": ("emptied", "rollback"),
    "lock": ("edited", "lock"),
    "apply": ("planned", "apply ../plan.json"),
    "graft": ("full", "graft"),
    "regraft": ("grafted", "graft"),
    "graft-once": ("grafted", "graft --method ties --density 0.3"),
    "graft-outside": ("full", "graft -o ../served/model"),
    "bundle": ("full", "bundle ../all.skillbundle"),
    "export": ("full", "export acme/sql ../exported --format merged"),
    "pack": ("made", f"pack {BASE} ../../tuned/math-1.0.0 --name acme/new --version 1.0.0"),
    "publish": ("made", "publish ../../sql-1.0.0.skillpack"),
    "yank": ("full", "yank acme/math@1.0.0 --reason wrong"),
    "unyank": ("yanked", "unyank acme/math@1.0.0"),
    "advisory-add": ("full", "registry advisory add ../../advisory.json"),
    "advisory-withdraw": ("advised", "registry advisory withdraw ACME-1"),
    "registry-init": ("made", "registry init ../team"),
    "gc": ("aged", "gc --keep 1 --grace 0 -y"),
    "cache-clean": ("full", "cache clean"),
    "cache-repair": ("damaged", "cache verify --repair"),
}
"""The stage that a command starts from, and its arguments."""
ONCE = frozenset(
    {"init", "install-from", "uninstall", "rollback", "apply", "export", "config-set",
     "config-unset"}
)  # fmt: skip
NAMES = tuple(COMMANDS)


def make_scenes(killer: Killer, folder: Path) -> dict[str, Scene]:
    """A scene for each command; all are created in `folder`."""
    write_plain(folder / "base", plain_tensors())
    for name, (only, seed) in TUNED.items():
        write_tuned(folder / "tuned" / name, only, seed)
    (folder / "advisory.json").write_text(json.dumps(ADVISORY))
    time.sleep(2.1)  # leaves are cached only for files that are old enough
    stages = Stages(killer, folder)
    stages.build()
    return {
        name: Scene(
            name,
            tuple(words.split()),
            folder / stage,
            once=name in ONCE,
            between=name == "install-from",
        )
        for name, (stage, words) in COMMANDS.items()
    }


class Stages:
    """Folders after some commands; each stage is made from an earlier one."""

    def __init__(self, killer: Killer, folder: Path) -> None:
        self._killer = killer
        self._folder = folder
        self._case = folder / "case"

    def build(self) -> None:
        """Make all stages, each from an earlier one."""
        self._packs()
        files = {name: f"../../{name}.skillpack" for name in TUNED}
        first = ("math-1.0.0", "code-1.0.0", "spare-1.0.0")
        self._stage("published", "start", *(f"publish {files[name]}" for name in first))
        self._stage("made", "published", f"init --base {BASE}")
        # The store of most stages has an unreferenced blob that is too recent for `gc`.
        self._stage("full", "made", "install acme/math", f"install {files['sql-1.0.0']}",
                    "install acme/code", "uninstall acme/code", "gc --keep 1 -y",
                    f"publish {files['math-1.1.0']}")  # fmt: skip
        self._stage("grafted", "full", "graft", "uninstall acme/sql")
        self._stage("emptied", "full", "uninstall acme/math acme/sql")
        self._stage("aged", "full", "upgrade", "uninstall acme/sql", "graft")
        self._stage("settled", "full", "config set graft.method ties workers 2", "lock")
        self._stage("yanked", "full", "yank acme/math@1.0.0")
        self._stage("advised", "full", "registry advisory add ../../advisory.json")
        self._edited()
        self._planned()
        self._bundled()
        self._damaged()

    def _packs(self) -> None:
        for part in ("project", "home"):
            (self._case / part).mkdir(parents=True)
        for name in TUNED:
            skill, _, version = name.partition("-")
            self._ask(f"pack {BASE} ../../tuned/{name} --name acme/{skill} --version {version} "
                      f"-o ../../{name}.skillpack")  # fmt: skip
        self._keep("start")

    def _edited(self) -> None:
        self._bring("made")
        file = self._case / "project" / "skillpm.toml"
        file.write_text(file.read_text() + '"acme/math" = "^1"\n"acme/code" = "^1"\n')
        self._keep("edited")

    def _planned(self) -> None:
        self._bring("made")
        plan = self._ask("install acme/math ../../sql-1.0.0.skillpack --dry-run")
        (self._case / "plan.json").write_text(json.dumps(plan))
        self._keep("planned")

    def _bundled(self) -> None:
        self._bring("full")
        self._ask("bundle ../all.skillbundle")
        bundle = (self._case / "all.skillbundle").read_bytes()
        self._bring("start")
        (self._case / "all.skillbundle").write_bytes(bundle)
        self._keep("bundled")

    def _damaged(self) -> None:
        self._bring("full")
        for path in (self._case / "home" / "store" / "sha256").glob("*/*"):
            data = path.read_bytes()
            path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        self._keep("damaged")

    def _stage(self, name: str, before: str, *commands: str) -> None:
        self._bring(before)
        for command in commands:
            self._ask(command)
        self._keep(name)

    def _ask(self, command: str) -> dict[str, object]:
        return self._killer.ask(self._case, *command.split())

    def _bring(self, name: str) -> None:
        shutil.rmtree(self._case, ignore_errors=True)
        shutil.copytree(self._folder / name, self._case)

    def _keep(self, name: str) -> None:
        self._case.rename(self._folder / name)
