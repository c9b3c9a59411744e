"""Changes that a pack may make to configs, from `pack` to `probe`, and changes that are refused."""

import json
import resource
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from changed_packs import written
from skillpm_world import World, snapshot
from tiny_learners import Learners
from tiny_models import Models, Pair, copy_model

from skillpm.archive.reader import open_pack
from skillpm.spec import oci
from skillpm.spec.digests import Digest

REFUSED: dict[str, dict[str, Any]] = {
    "config.json": {
        "transformers_weights": "model.safetensors", "auto_map": {"AutoModel": "evil--m.M"},
        "attn_implementation": "evil/kernel", "quantization_config": {"load_in_8bit": True},
        "my_key": 1, "model_type": "qwen2_moe", "configuration_files": ["config.9.json"],
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "kernel_config": "x"},
    },
    "generation_config.json": {"custom_generate": "evil/g", "cache_implementation": "quantized"},
    "tokenizer_config.json": {
        "tokenizer_file": "/etc/passwd", "auto_map": {"AutoTokenizer": ["evil.T", None]},
        "tokenizer_class": "BertJapaneseTokenizer", "init_inputs": ["/etc/passwd"],
    },
}  # fmt: skip


CASES = [(name, key) for name, keys in REFUSED.items() for key in keys]


def altered(source: Path, target: Path, name: str, **change: Any) -> Path:
    shutil.copytree(source, target)
    file = target / name
    old = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**old, **change}))
    return target


def forged(pack: Path, path: Path, name: str, patch: dict[str, Any], *more: str) -> Path:
    """The pack with an additional side file, and with the keys `more` in its manifest."""
    opened = open_pack(pack)
    manifest = json.loads(opened.read(opened.image.config.digest))
    data = json.dumps(patch).encode()
    manifest["files"] = [
        {"path": name, "digest": str(Digest.of(data)), "kind": "patch"},
        *(file for file in manifest["files"] if file["path"] != name),
    ]
    manifest["architecture_facts"]["config_keys"] += sorted(
        {*more, *patch} - {*manifest["architecture_facts"]["config_keys"]}
    )
    kept = {file["digest"] for file in manifest["files"]}
    layers = [
        (layer.media_type, opened.read(layer.digest))
        for layer in opened.image.layers
        if layer.media_type != oci.FILE_TYPE or str(layer.digest) in kept
    ]
    return written(path, opened.image_bytes, manifest, [*layers, (oci.FILE_TYPE, data)])


@pytest.mark.parametrize(("name", "key"), CASES)
def test_pack_refuses_a_forbidden_config_key_by_name(
    world: World, learners: Learners, name: str, key: str
) -> None:
    base, tuned = learners.math
    odd = altered(tuned, world.folder / "odd", name, **{key: REFUSED[name][key]})
    path = world.folder / "x.skillpack"
    asked = ("--name", "acme/odd", "--version", "1.0.0", "-o", path)
    said = world.fail("pack", base, odd, *asked, code=1, kind="spec")
    assert f"`{key}" in said
    assert name in said
    assert not path.exists()


@pytest.mark.parametrize(("name", "key"), CASES)
def test_verify_and_install_refuse_forbidden_config_keys_that_a_manifest_declares(
    world: World, learners: Learners, name: str, key: str
) -> None:
    pack = world.pack(learners.math, "acme/math", "1.0.0")
    claimed = () if key == "my_key" else ("kernel_config",)
    path = forged(pack, world.folder / "lie.skillpack", name, {key: REFUSED[name][key]}, *claimed)
    if key == "my_key":
        opened = open_pack(path)
        assert "my_key" in opened.manifest.architecture_facts.config_keys
        return  # a key that nothing reads is the author's claim and has no effect
    world.init(learners.base)
    before = snapshot(world.project)
    for command in (("verify", path), ("verify", path, "--base", learners.base), ("install", path)):
        assert f"`{key}" in world.fail(*command, code=1, kind="spec")
    assert snapshot(world.project) == before
    assert world.installed() == {}


def test_graft_applies_declared_config_keys_and_generation_settings(
    world: World, learners: Learners
) -> None:
    base, tuned = learners.math
    odd = altered(tuned, world.folder / "odd", "config.json", rms_norm_eps=1e-4, use_cache=False)
    (odd / "generation_config.json").write_text(
        json.dumps({"top_k": 5, "_from_model_config": False})
    )
    path = world.pack((base, odd), "acme/odd", "1.0.0")
    facts = open_pack(path).manifest.architecture_facts
    assert {"rms_norm_eps", "hidden_size", "rope_parameters"} <= set(facts.config_keys)
    assert facts.library is not None
    assert facts.library.startswith("transformers ")
    world.init(base)
    world.ask("install", path)
    world.ask("graft")
    config = json.loads((world.project / "graft" / "config.json").read_text())
    assert (config["rms_norm_eps"], config["use_cache"]) == (1e-4, False)
    generation = json.loads((world.project / "graft" / "generation_config.json").read_text())
    assert generation["top_k"] == 5


def test_graft_keeps_config_keys_of_the_base_that_no_model_reads(
    world: World, learners: Learners
) -> None:
    base = altered(
        learners.base, world.folder / "base", "config.json", legacy=3, attn_implementation="sdpa",
        router_limit=float("inf"),
    )  # fmt: skip
    path = world.pack((base, learners.math[1]), "acme/math", "1.0.0")
    assert not open_pack(path).manifest.files
    world.init(base)
    world.ask("install", path)
    world.ask("graft")
    assert (world.project / "graft" / "config.json").read_bytes() == (
        base / "config.json"
    ).read_bytes()


def test_graft_keeps_an_infinite_config_value_of_the_base(world: World, learners: Learners) -> None:
    base = altered(learners.base, world.folder / "base", "config.json", limit=float("inf"))
    tuned = altered(
        learners.math[1], world.folder / "t", "config.json", limit=float("inf"), rms_norm_eps=0.1
    )
    path = world.pack((base, tuned), "acme/math", "1.0.0")
    world.init(base)
    world.ask("install", path)
    world.ask("graft")
    config = json.loads((world.project / "graft" / "config.json").read_text())
    assert (config["limit"], config["rms_norm_eps"]) == (float("inf"), 0.1)


def test_graft_removes_tokenizer_files_that_the_tuned_model_lacks(
    world: World, learners: Learners
) -> None:
    base = altered(learners.base, world.folder / "base", "special_tokens_map.json", pad_token="?")  # noqa: S106
    (base / "chat_template.jinja").write_text("the base's")
    path = world.pack((base, learners.math[1]), "acme/math", "1.0.0")
    removed = {file.path: file.kind for file in open_pack(path).manifest.files}
    assert removed == dict.fromkeys(("chat_template.jinja", "special_tokens_map.json"), "removed")
    world.ask("verify", path, "--base", base)
    world.init(base)
    world.ask("install", path)
    assert world.ask("graft")["written_bytes"] > 0
    names = {file.name for file in (world.project / "graft").iterdir()}
    assert not names & removed.keys()
    assert "tokenizer.json" in names
    assert world.ask("graft")["written_bytes"] == 0
    world.ask("uninstall", "acme/math")
    world.ask("graft")
    assert (world.project / "graft" / "chat_template.jinja").read_text() == "the base's"
    assert {*removed} <= {file.name for file in base.iterdir()}


@pytest.mark.slow
def test_pack_refuses_a_config_change_of_an_unknown_architecture(
    world: World, learners: Learners
) -> None:
    base = altered(learners.base, world.folder / "base", "config.json", model_type="nobodys")
    same = altered(learners.math[1], world.folder / "same", "config.json", model_type="nobodys")
    other = altered(same, world.folder / "other", "config.json", rms_norm_eps=0.1)
    path = world.pack((base, same), "acme/math", "1.0.0")
    assert open_pack(path).manifest.architecture_facts.library is None
    asked = ("--name", "acme/odd", "--version", "1.0.0", "-o", world.folder / "o.skillpack")
    said = world.fail("pack", base, other, *asked, code=1, kind="spec")
    assert "`rms_norm_eps`" in said
    assert "unknown" in said


@pytest.mark.parametrize("patch", [
    pytest.param({"intermediate_size": 1 << 23}, marks=pytest.mark.slow),
    {"vocab_size": 1 << 23}, {"num_hidden_layers": 10**9},
    pytest.param({"vocab_size": 10**12}, marks=pytest.mark.slow),
    pytest.param({"attention_bias": True}, marks=pytest.mark.slow),
])  # fmt: skip
def test_config_that_requires_too_much_memory_is_refused_before_allocation(
    world: World, learners: Learners, patch: dict[str, Any]
) -> None:
    probes = world.folder / "p.jsonl"
    probes.write_text('{"text": "1+2=3. "}\n')
    pack = world.pack(learners.math, "acme/math", "1.0.0", "--probes", probes)
    path = forged(pack, world.folder / "bomb.skillpack", "config.json", patch)
    world.init(learners.base)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    installed = world.run("install", path, "--json")
    if installed.code == 0:
        said = world.fail("probe", code=1, kind="graft")
        assert "cannot be run by transformers" in said
    else:
        assert (installed.code, installed.error["kind"]) == (3, "integrity")
        assert "does not fit 21 tensors with at most" in installed.error["message"]
    assert time.process_time() - started < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB


def test_install_refuses_packs_with_different_values_of_a_config_key(
    world: World, models: Models, math: Pair, tmp_path: Path
) -> None:
    world.init(math[0])
    for name, act in (("one", "relu"), ("two", "gelu"), ("three", "relu")):
        tuned = copy_model(models.tuned("mlp", seed=len(name))[1], tmp_path / name)
        config = json.loads((tuned / "config.json").read_text())
        (tuned / "config.json").write_text(json.dumps({**config, "hidden_act": act}))
        world.publish((math[0], tuned), f"acme/{name}", "1.0.0")
    world.ask("install", "acme/one")
    text = world.fail("install", "acme/two", code=4, kind="resolution")
    assert "hidden_act" in text
    world.ask("install", "acme/three")
    world.graft_root()
    config = json.loads((world.project / "graft" / "config.json").read_text())
    assert config["hidden_act"] == "relu"
