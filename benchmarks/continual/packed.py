"""The individual fine-tunes as packs of a real project: published, installed and run in-process."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch

import skillpm
from benchmarks.continual.chains import INDIVIDUAL
from benchmarks.finetunes.cache import made
from skillpm.api.options import Options
from skillpm.api.session import open_session
from skillpm.cli.app import main
from skillpm.environment.project import ProjectFolder
from skillpm.flows.evaluate.stage import open_candidate
from skillpm.flows.locking.lock_check import prune
from skillpm.flows.packs.signatures import signature_of
from skillpm.routing.features import features, width_of
from skillpm.routing.router import Router
from skillpm.running.runner import Runner
from skillpm.spec.merging import MERGED, Merging
from skillpm.spec.names import SkillName
from skillpm.store.packs import load_pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.continual.chains import Chains
    from benchmarks.continual.subject import Answers, Subject
    from benchmarks.finetunes.cache import Made
    from skillpm.flows.evaluate.stage import CandidateEnvironment

VERSION = "1.0.0"
TIMED = 16
SMALL = "5%"


def skill_of(task: str) -> str:
    """The skill's name."""
    return f"bench/{task}"


def project(
    folder: Path, subject: Subject, chains: Chains, *, wanted: dict[str, Any], budget: str | None
) -> Made:
    """Pack every individual fine-tune and install the packs in FOLDER/project, home in FOLDER/home.

    The packs are lossless with a router signature, or fit a budget and have no signature.
    """

    def work(unfinished: Path) -> None:
        home, place = unfinished / "home", unfinished / "project"
        for left in (home, place):  # an interrupted run starts again
            shutil.rmtree(left, ignore_errors=True)
        place.mkdir()
        command("init", "--base", str(subject.base), project=place, home=home)
        files = []
        for number, task in enumerate(subject.tasks):
            tuned = chains.folder(INDIVIDUAL, number) / "model"
            files.append(unfinished / f"{task}.skillpack")
            asked = [str(subject.base), str(tuned), "--name", skill_of(task), "--version", VERSION]
            asked += ["--budget", budget] if budget else ["--router", str(subject.examples(task))]
            if not budget:
                asked += ["--router-background", str(subject.background())]
            files[-1].unlink(missing_ok=True)
            command("pack", *asked, "-o", str(files[-1]), project=place, home=home)
        command("install", *map(str, files), project=place, home=home)

    return made(folder, wanted, work)


def command(*arguments: str, project: Path, home: Path) -> None:
    """Run a command of skillpm in this process: a new process costs more than the command.

    A failure ends the benchmark.
    """
    before = os.environ.get("SKILLPM_HOME")
    os.environ["SKILLPM_HOME"] = str(home)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            main([*arguments, "-C", str(project), "--quiet"])
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        del os.environ["SKILLPM_HOME"]
        if before is not None:
            os.environ["SKILLPM_HOME"] = before


def pack_bytes(folder: Path) -> int:
    """The bytes of all pack files."""
    return sum(path.stat().st_size for path in folder.glob("*.skillpack"))


class Installed:
    """An installed set with its merges and its router."""

    def __init__(self, folder: Path, subject: Subject) -> None:
        self._closing = ExitStack()
        self._folder, self._subject = folder, subject
        options = Options(folder=folder / "project", home=folder / "home")
        self._session = open_session(options, self._closing.callback)
        self._project = ProjectFolder(self._session.project)
        self._stage: CandidateEnvironment | None = None
        self._lock = self._project.generation().lockfile

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def live(self) -> Any:
        """The live model: the base with all skills attached."""
        opened = skillpm.open_project(self._folder / "project", home=self._folder / "home")
        self._closing.callback(opened.close)
        return opened.load_model(dtype="float32")

    def merged(self, method: str, count: int, tasks: Sequence[str]) -> dict[str, Answers]:
        """Answers of base + the first `count` packs, merged with a method's default settings."""
        names = [SkillName.parse(skill_of(task)) for task in self._subject.tasks[:count]]
        asked = {
            "mode": MERGED,
            "method": method,
            "settings": Merging(method).all_settings,
            "root": None,
        }
        graft = self._lock.graft.model_copy(update=asked)
        lock = prune(self._lock, names).model_copy(update={"graft": graft})
        if self._stage is None:
            self._stage = open_candidate(self._session, self._project, "cpu")
        model = self._stage.runner(lock).model
        return {task: self._subject.answers(model, task) for task in tasks}

    def routed(self, queries: dict[str, list[str]]) -> list[dict[str, list[str | None]]]:
        """The skill chosen for each query by the router of the first one, two, … packs."""
        base = Runner.load(self._subject.base, "cpu")
        seen = {task: features(base, texts) for task, texts in queries.items()}
        signatures = {}
        stages = []
        for task in self._subject.tasks:
            name = SkillName.parse(skill_of(task))
            found = signature_of(load_pack(self._session.store, self._lock.skills[name].digest))
            assert found is not None
            signatures[name] = found
            router = Router.of(signatures, width_of(base))
            stages.append(
                {
                    asked: [one.skill and str(one.skill) for one in router.decide(rows)]
                    for asked, rows in seen.items()
                }
            )
        return stages

    def seconds(self, live: Any, texts: Sequence[str]) -> dict[str, float]:
        """Median seconds per query: a forward pass; switch and pass; routing, switch and pass."""
        base = Runner.load(self._subject.base, "cpu")
        signatures = {
            name: signature_of(load_pack(self._session.store, one.digest))
            for name, one in self._lock.skills.items()
        }
        known = {name: one for name, one in signatures.items() if one is not None}
        router = Router.of(known, width_of(base))
        skill = skill_of(self._subject.tasks[0])

        def plain(text: str, chosen: str | None) -> None:
            with live.use_skill(chosen), torch.inference_mode():
                self._subject.run(live, text)

        def routed(text: str) -> None:
            chosen = router.decide(features(base, [text]))[0].skill
            plain(text, chosen and str(chosen))

        ways = {
            "base": lambda text: plain(text, None),
            "oracle": lambda text: plain(text, skill),
            "router": routed,
        }
        for way in ways.values():
            way(texts[0])
        found: dict[str, list[float]] = {name: [] for name in ways}
        for text in texts[:TIMED]:
            for name, way in ways.items():
                started = time.perf_counter()
                way(text)
                found[name].append(time.perf_counter() - started)
        return {name: statistics.median(each) for name, each in found.items()}
