"""Skills of a tiny byte-level model to merge: six kinds of text, four variants, disjoint halves."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file

from benchmarks.finetunes.cache import made
from examples.continual import model as lm
from examples.continual import texts

if TYPE_CHECKING:
    from pathlib import Path

    from examples.code_search.settings import Advance

BASE = lm.Lesson(steps=300, learning_rate=4e-3)
FULL = lm.Lesson(steps=40, learning_rate=3e-3)
GENERAL = "sources"


@dataclass(frozen=True, slots=True)
class Skill:
    """A fine-tune: the kinds of text that it learns and is measured on, and its training."""

    name: str
    kinds: tuple[str, ...]
    lesson: lm.Lesson = FULL

    @property
    def slug(self) -> str:
        """The name in paths and packs."""
        return self.name.lower().replace(", ", "-").replace(" ", "-")


KINDS = ("headers", "prose", "bytecode", "stubs", "records", "licences")
FULLS = tuple(Skill(kind, (kind,)) for kind in KINDS)
VARIANTS = (
    Skill("headers, attention only", ("headers",), replace(FULL, only=("self_attn",))),
    Skill("prose, MLP only", ("prose",), replace(FULL, only=("mlp",))),
    Skill("stubs, gentle", ("stubs",), replace(FULL, learning_rate=7e-4)),
    Skill("licences, strong", ("licences",), replace(FULL, learning_rate=8e-3)),
)
SKILLS = FULLS + VARIANTS
PARTS = {"attention": "self_attn", "MLP": "mlp"}
HALVES = tuple(
    Skill(f"{kind}, {part} only", (kind,), replace(FULL, only=(name,)))
    for kind in KINDS
    for part, name in PARTS.items()
)
"""Each kind on attention alone and on MLPs alone: skills of different halves share no tensor."""
ALL = tuple({skill.name: skill for skill in (*SKILLS, *HALVES)}.values())


def data(cache: Path, kind: str, side: str) -> torch.Tensor:
    """Rows of one kind of text, [rows, CONTEXT]; made once."""
    wanted = {"train": texts.TRAIN_BYTES, "held_out": texts.HELD_OUT_BYTES, "row": lm.CONTEXT}

    def work(folder: Path) -> None:
        base = kind == GENERAL
        found = texts.Texts(tuple(texts.sources()), ()) if base else texts.read(kind)
        for name, part in (("train", found.train), ("held_out", found.held_out)):
            if part:
                save_file({"rows": lm.rows(part)}, folder / f"{name}.safetensors")

    return load_file(made(cache / "texts" / kind, wanted, work).folder / f"{side}.safetensors")[
        "rows"
    ]


def base(cache: Path, seed: int, advance: Advance) -> Path:
    """A model trained on Python sources, from the initial weights of a seed."""
    lesson = replace(BASE, seed=seed)

    def work(folder: Path) -> None:
        rows = data(cache, GENERAL, "train")
        learnt = lm.learn(lm.fresh(seed), rows, lesson, advance, f"base {seed}")
        lm.save(learnt, folder / "model")

    return made(cache / f"base-{seed}", asdict(lesson), work).folder / "model"


def tuned(cache: Path, seed: int, skill: Skill, advance: Advance) -> Path:
    """The base of this seed, fine-tuned to a skill."""
    lesson = replace(skill.lesson, seed=100 + seed)
    start = base(cache, seed, advance)
    place = cache / f"tuned-{seed}" / skill.slug

    def work(folder: Path) -> None:
        rows = torch.cat([data(cache, kind, "train") for kind in skill.kinds])
        learnt = lm.learn(lm.load(start), rows, lesson, advance, f"{skill.name} {seed}")
        lm.save(learnt, folder / "model")

    return made(place, {**asdict(lesson), "kinds": skill.kinds}, work).folder / "model"
