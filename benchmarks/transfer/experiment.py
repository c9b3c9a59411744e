"""One skill with one seed: its texts, its source, and where its cells are."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from benchmarks.transfer.costs import CostBook
from benchmarks.transfer.general import keep_prompts, measuring_questions
from benchmarks.transfer.settings import SMALL_BUDGET, Recipe, Sizes
from examples.transfer.items import write_lines
from examples.transfer.source import train_source
from skillpm.checkpoint.leaves import identify
from skillpm.checkpoint.model import open_checkpoint
from skillpm.spec import json as canonical_json
from skillpm.spec.chat import asked
from skillpm.transfer.prompts import Prompt, parse_prompts

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.transfer.skills.catalogue import Skill
    from examples.transfer.items import Item

_TOOLS = ("torch", "transformers", "trl", "peft", "tokenizers")


@dataclass(frozen=True)
class Experiment:
    """A skill, a seed and a base; `budget` is that of the small pack. All files are in `cache`."""

    base: Path
    cache: Path
    skill: Skill
    seed: int = 0
    sizes: Sizes = field(default_factory=Sizes)
    recipe: Recipe = field(default_factory=Recipe)
    budget: str = SMALL_BUDGET

    @property
    def folder(self) -> Path:
        """The folder of the skill with this seed."""
        return self.cache / f"{self.skill.name}-{self.seed}"

    @property
    def home(self) -> Path:
        """The home of skillpm, which keeps the transfers."""
        return self.cache / "home"

    @cached_property
    def learnt(self) -> list[Item]:
        """The prompts of the transfer."""
        return self.skill.items.learnt(self.sizes.prompts, seed=self.seed)

    @cached_property
    def held_out(self) -> list[Item]:
        """The items that measure."""
        return self.skill.items.held_out(self.sizes.items, seed=self.seed)

    @cached_property
    def measured(self) -> tuple[Prompt, ...]:
        """The items that measure, as prompts with checks."""
        lines = (canonical_json.canonical(item.prompt_line()) + b"\n" for item in self.held_out)
        return parse_prompts(b"".join(lines))

    @cached_property
    def general(self) -> tuple[Prompt, ...]:
        """The general questions that measure."""
        return tuple(
            Prompt(f"general-{number}", tuple(asked(text)), None)
            for number, text in enumerate(measuring_questions(self.sizes.general), start=1)
        )

    @cached_property
    def determinants(self) -> dict[str, Any]:
        """What decides every cell: base, texts, sizes and libraries."""
        texts = [
            *(item.prompt_line() for item in (*self.learnt, *self.held_out)),
            *keep_prompts(self.sizes.keep),
            *measuring_questions(self.sizes.general),
        ]
        return {
            "base": str(identify(open_checkpoint(self.base)).root),
            "texts": _digest(texts),
            "skill": self.skill.name,
            "seed": self.seed,
            "sizes": asdict(self.sizes),
            "tools": {name: version(name) for name in _TOOLS},
        }

    def key(self, **more: Any) -> str:
        """A short digest of what decides a cell; `more` is what decides only this one."""
        return _digest({**self.determinants, **more})[:12]

    @cached_property
    def work(self) -> Path:
        """The folder of the files and the costs of transfers with this recipe."""
        key = self.key(recipe=asdict(self.recipe), source=self.source_settings)
        folder = self.folder / f"transfer-{key}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def costs(self) -> CostBook:
        """The processor seconds of the stages of transfers with this recipe."""
        return CostBook(self.work / "costs.json")

    @property
    def source_settings(self) -> dict[str, Any]:
        """The settings of the source."""
        return {**asdict(self.skill.source), "seed": self.seed}

    @cached_property
    def source(self) -> Path:
        """The source, trained if it is missing."""
        key = _digest([self.source_settings, self.skill.name, self.determinants["tools"]])[:12]
        folder = self.folder / f"source-{key}"
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with self._source_costs.charged(folder.name):
                self._train_source(folder)
        return folder

    @property
    def source_seconds(self) -> float:
        """The processor seconds of the source's training."""
        return self._source_costs.seconds(self.source.name)

    @property
    def _source_costs(self) -> CostBook:
        return CostBook(self.folder / "source-costs.json")

    def _train_source(self, folder: Path) -> None:
        fresh = folder.with_name(folder.name + ".part")
        shutil.rmtree(fresh, ignore_errors=True)
        known = self.skill.items.known_to_source(seed=self.seed)
        settings = self.skill.source.__class__(**self.source_settings)
        train_source(fresh, ((item.prompt, item.answer) for item in known), settings)
        fresh.rename(folder)

    def write_prompts(self) -> None:
        """Write the prompt files of the transfers."""
        write_lines(self.work / "prompts.jsonl", (item.prompt_line() for item in self.learnt))
        keep = enumerate(keep_prompts(self.sizes.keep), start=1)
        write_lines(
            self.work / "keep.jsonl",
            ({"id": f"keep-{number}", "prompt": text} for number, text in keep),
        )


def _digest(document: Any) -> str:
    data = json.dumps(document, sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()
