"""The cache of model layouts: an answer is used again only for the same question."""

from pathlib import Path
from typing import Any

import pytest
from skillpm_world import World
from tiny_adapters import CASES, make

from skillpm.architecture.layout import ModelLayout
from skillpm.flows.packs import layout_cache
from skillpm.flows.packs.layout_cache import CachedLayout
from skillpm.spec import json
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.sealed import seal

CONFIG = b'{"model_type":"llama"}'
SPECS = {"w": TensorSpec("w", "F32", (4, 2))}
ASKED: dict[str, Any] = {"tensors": ["w"], "class": None}
LAYOUT = ModelLayout(
    model_class="Llama", modules={"w": "linear"}, stored={}, fused={}, tied={}, untied={}, labels={}
)


def cached(home: Path, **other: Any) -> CachedLayout:
    return CachedLayout.of(
        home, other.get("config", CONFIG), other.get("specs", SPECS), other.get("asked", ASKED)
    )


def test_an_answer_is_read_again(tmp_path: Path) -> None:
    assert cached(tmp_path).get() is None
    cached(tmp_path).put(LAYOUT)
    assert cached(tmp_path).get() == LAYOUT


@pytest.mark.parametrize(
    "other",
    [
        {"config": b'{"model_type":"gpt2"}'},
        {"specs": {"w": TensorSpec("w", "F32", (2, 4))}},
        {"specs": {"w": TensorSpec("w", "BF16", (4, 2))}},
        {"asked": {"tensors": ["w"], "class": "LlamaModel"}},
    ],
    ids=["config", "shape", "dtype", "question"],
)
def test_an_answer_to_another_question_is_not_used(tmp_path: Path, other: dict[str, Any]) -> None:
    cached(tmp_path).put(LAYOUT)
    assert cached(tmp_path, **other).get() is None


def test_an_answer_of_another_library_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(tmp_path).put(LAYOUT)
    monkeypatch.setattr(layout_cache, "installed", lambda _name: "0.0.1")
    assert cached(tmp_path).get() is None


def test_a_damaged_answer_is_not_used(tmp_path: Path) -> None:
    cached(tmp_path).put(LAYOUT)
    (path,) = (tmp_path / "cache" / "layouts").iterdir()
    plain = {"modules": {"w": "linear"}}
    for damage in (b"", b"{", b"[]", seal(plain), json.canonical(LAYOUT.model_dump(mode="json"))):
        path.write_bytes(damage)
        assert cached(tmp_path).get() is None


def test_an_answer_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    cached(tmp_path).put(LAYOUT)
    (path,) = (tmp_path / "cache" / "layouts").iterdir()
    path.chmod(0o666)
    assert cached(tmp_path).get() is None


def test_a_second_pack_of_an_adapter_has_the_same_payload(world: World, tmp_path: Path) -> None:
    made = make(tmp_path / "models", CASES["plain"])
    first = world.pack(made.pair, "acme/one", "1.0.0")
    (path,) = (world.home / "cache" / "layouts").iterdir()
    written = path.stat().st_mtime_ns
    second = world.pack(made.pair, "acme/two", "1.0.0")
    assert path.stat().st_mtime_ns == written
    layers = [world.ask("inspect", pack)["manifest"]["footprint"] for pack in (first, second)]
    assert layers[0] == layers[1]
