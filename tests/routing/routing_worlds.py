"""Skills as clouds of points, and a tiny base whose tokens are letters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tiny_models import copy_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from skillpm.routing.router import Router
from skillpm.routing.signature import Signature
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName

BASE = Digest.of(b"base")
WIDTH = 12
ALPHABET = "?abcdefghijklmnopqrstuvwxyz .0123456789+="


def name(text: str) -> SkillName:
    return SkillName.parse(f"acme/{text}")


def cloud(seed: int, count: int, *, spread: float = 0.05) -> Any:
    """Draw points of the unit sphere around a centre that depends on the seed."""
    chance = np.random.default_rng(seed)
    centre = chance.standard_normal(WIDTH)
    centre /= np.linalg.norm(centre)
    points = centre + spread * np.random.default_rng((seed, count)).standard_normal((count, WIDTH))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def signature(seed: int, count: int = 40, *, base: Digest = BASE) -> Signature:
    """Make the signature of a cloud, with a background of points all over the sphere."""
    points = np.random.default_rng(99).standard_normal((40, WIDTH))
    around = points / np.linalg.norm(points, axis=1, keepdims=True)
    return Signature(base, cloud(seed, count), around, "file")


def router_of(installed: Mapping[SkillName, Signature]) -> Router:
    """Make the router of clouds."""
    return Router.of(installed, WIDTH)


def with_letters(model: Path, folder: Path) -> Path:
    """Copy a model with letters and digits as tokens."""
    copied = copy_model(model, folder)
    letters = {letter: place for place, letter in enumerate(ALPHABET)}
    plain = Tokenizer(models.WordLevel(letters, unk_token="?"))  # noqa: S106
    plain.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="?").save_pretrained(copied)  # noqa: S106
    return copied


def sums(count: int, seed: int = 0) -> list[str]:
    chance = np.random.default_rng(seed)
    return [f"{a} + {b} = {a + b}" for a, b in chance.integers(10, 9999, (count, 2))]


def words(count: int, seed: int = 0) -> list[str]:
    chance = np.random.default_rng((7, seed))
    stems = ("select", "from", "where", "table", "order", "group", "join", "having")
    return [" ".join(chance.choice(stems, 5)) for _ in range(count)]


def noise(count: int, seed: int = 0) -> list[str]:
    """Make background texts: neither sums nor statements."""
    chance = np.random.default_rng((9, seed))
    return ["".join(chance.choice([*"bjkqvxyz. "], 24)) for _ in range(count)]
