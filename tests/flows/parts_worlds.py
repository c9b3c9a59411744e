"""Sentence-transformers models of several parts, packed and grafted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from skillpm_world import World
from tiny_embedders import embeddings, load

ALL = ("Pooling", "Dense", "LayerNorm")


def packed(world: World, pair: tuple[Path, Path], name: str = "x") -> dict[str, Any]:
    file = world.folder / f"{name}.skillpack"
    named = ("--name", f"acme/{name}", "--version", "1.0.0", "-o", file)
    return world.ask("pack", *pair, *named)


def grafted(world: World, base: Path, *names: str) -> Path:
    world.init(base)
    for name in names or ("x",):
        world.ask("install", world.folder / f"{name}.skillpack")
    return Path(world.ask("graft")["path"])


def check_same(graft: Path, tuned: Path) -> None:
    """Check that the graft computes the same bits as the tuned model and has its settings."""
    assert np.array_equal(embeddings(graft), embeddings(tuned))
    ours, theirs = load(graft), load(tuned)
    assert (ours.prompts, ours.max_seq_length) == (theirs.prompts, theirs.max_seq_length)
    assert [type(m) for m in ours] == [type(m) for m in theirs]


def edit(file: Path, change: Any) -> None:
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))
