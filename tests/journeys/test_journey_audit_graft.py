"""A graft on disk: a flipped bit in any place is found and reported by tensor."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from skillpm_world import World
from tiny_models import Models


def findings(world: World, *more: object, code: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.ask("audit", *more, code=code)["findings"]
    return [one for one in found if one["level"] != "low"]


def flip(path: Path, position: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


def spans(path: Path) -> dict[str, tuple[int, int]]:
    """The positions of each tensor's bytes in a file."""
    data = path.read_bytes()
    length = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:length])
    places = {n: t["data_offsets"] for n, t in header.items() if n != "__metadata__"}
    return {name: (length + start, length + stop) for name, (start, stop) in places.items()}


@pytest.fixture
def grafted(world: World, models: Models) -> World:
    """A base with a pack that changes only the MLPs."""
    pair = models.tuned("mlp")
    world.init(pair[0])
    world.ask("install", world.pack(pair, "acme/math", "1.0.0"))
    world.graft_root()
    return world


@pytest.mark.parametrize("tensor", ["model.layers.1.mlp.up_proj.weight", "lm_head.weight"])
def test_audit_names_the_tensor_with_a_flipped_bit(grafted: World, tensor: str) -> None:
    path = grafted.project / "graft" / "model.safetensors"
    start, stop = spans(path)[tensor]
    flip(path, random.Random(tensor).randrange(start, stop), 3)
    (found,) = findings(grafted, code=3)
    assert (found["level"], found["code"], found["tensor"]) == ("critical", "graft-damaged", tensor)
    assert found["skill"] == ("acme/math" if "mlp" in tensor else None)
    assert tensor in found["message"]
    assert str(path) in found["message"]
    assert grafted.run("audit").code == 3


def test_audit_detects_a_flipped_bit_anywhere_in_the_header(grafted: World) -> None:
    path = grafted.project / "graft" / "model.safetensors"
    whole = path.read_bytes()
    length = 8 + int.from_bytes(whole[:8], "little")
    positions = random.Random(7).sample(range(length), 24)
    positions.append(whole.index(b'"pt"') + 1)
    for position in positions:
        flip(path, position, position % 8)
        found = findings(grafted, code=3)
        assert {one["code"] for one in found} <= {"graft-damaged", "graft-extra"}, position
        assert found[0]["level"] == "critical", position
        path.write_bytes(whole)
    assert findings(grafted, code=0) == []


def test_audit_names_each_damaged_tensor_and_file(grafted: World) -> None:
    path = grafted.project / "graft" / "model.safetensors"
    names = ["model.embed_tokens.weight", "model.layers.0.mlp.down_proj.weight"]
    for name in names:
        flip(path, spans(path)[name][0])
    config = grafted.project / "graft" / "config.json"
    config.write_text(config.read_text() + " ")
    (grafted.project / "graft" / "generation_config.json").unlink()
    found = findings(grafted, code=3)
    assert sorted(one["tensor"] for one in found if "tensor" in one) == names
    assert sum("differs from what skillpm wrote" in one["message"] for one in found) == 1
    assert sum("is missing" in one["message"] for one in found) == 1


def test_audit_reports_a_file_that_no_graft_wrote(grafted: World) -> None:
    (grafted.project / "graft" / "modeling_llama.py").write_text("import os")
    (found,) = findings(grafted, code=0)
    assert (found["level"], found["code"]) == ("medium", "graft-extra")
    assert "modeling_llama.py" in found["message"]


def test_audit_recomputes_a_tensor_that_two_packs_change(world: World, models: Models) -> None:
    one, two = models.tuned("mlp"), models.tuned("")
    world.init(one[0])
    world.ask("install", world.pack(one, "acme/math", "1.0.0"))
    world.ask("install", world.pack((one[0], two[1]), "acme/sql", "1.0.0"))
    world.graft_root()
    assert findings(world, code=0) == []
    path = world.project / "graft" / "model.safetensors"
    tensor = "model.layers.0.mlp.gate_proj.weight"
    flip(path, spans(path)[tensor][0] + 1)
    (found,) = findings(world, code=3)
    assert found["tensor"] == tensor


def test_audit_names_the_shard_of_a_damaged_tensor(world: World, models: Models) -> None:
    world.init(models.pair("sharded")[0])
    world.ask("install", world.pack(models.pair("sharded"), "acme/math", "1.0.0"))
    world.graft_root()
    shard = max((world.project / "graft").glob("*.safetensors"))
    with safe_open(shard, "pt") as opened:
        tensor = min(opened.keys())
    flip(shard, spans(shard)[tensor][0])
    (found,) = findings(world, code=3)
    assert found["tensor"] == tensor
    assert shard.name in found["message"]


def test_audit_without_the_base_checks_only_the_root(grafted: World, tmp_path: Path) -> None:
    path = grafted.project / "graft" / "model.safetensors"
    flip(path, path.stat().st_size - 1)
    found = findings(grafted, "--base", tmp_path / "nowhere", code=3)
    assert {one["code"] for one in found} == {"base-missing", "graft-damaged"}


def test_audit_graft_option_checks_another_folder(grafted: World) -> None:
    grafted.graft_root("-o", grafted.folder / "served")
    path = grafted.folder / "served" / "model.safetensors"
    flip(path, path.stat().st_size - 1)
    assert findings(grafted, code=0) == []
    assert findings(grafted, "--graft", grafted.folder / "served", code=3)
    assert "graft" in grafted.fail("audit", "--graft", grafted.home, code=1, kind="not_found")


def test_audit_compares_a_stale_graft_with_its_own_record(grafted: World) -> None:
    grafted.ask("uninstall", "acme/math")
    codes = {one["code"] for one in grafted.ask("audit")["findings"]}
    assert codes == {"graft-stale"}
    path = grafted.project / "graft" / "model.safetensors"
    flip(path, spans(path)["lm_head.weight"][0])
    assert [one["tensor"] for one in findings(grafted, code=3)] == ["lm_head.weight"]


def test_audit_reports_a_graft_record_with_a_path_outside_the_graft(grafted: World) -> None:
    stamp = grafted.project / "graft" / ".skillpm-graft.json"
    plain = json.loads(stamp.read_text())
    plain["files"]["../../base/config.json"] = "sha256:" + "0" * 64
    stamp.write_text(json.dumps(plain))
    assert "outside" in findings(grafted, code=3)[0]["message"]
