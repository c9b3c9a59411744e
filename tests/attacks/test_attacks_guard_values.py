"""Packs with false probe values: a value recorded by one pack does not decide about others."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from attack_worlds import Forge, blob_name, dump
from skillpm_world import World, snapshot
from tiny_learners import COLOR_PROBES, MATH_PROBES, Learners, write_probes

from skillpm.archive.reader import open_pack
from skillpm.index.open import open_index
from skillpm.spec import oci
from skillpm.spec.digests import Digest
from skillpm.spec.location import RegistryLocation
from skillpm.spec.sealed import seal, unseal


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learners: Learners) -> World:
    """A separate project; the other tests of this folder have an archive."""
    made = World(tmp_path)
    made.project.mkdir()
    monkeypatch.setenv("SKILLPM_HOME", str(made.home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(made.project)
    made.init(learners.base)
    return made


def forged(world: World, learners: Learners, **values: float) -> Forge:
    """`acme/colors` with its probes and these recorded values."""
    lines = ({"probes": 1, "tolerance": 0.05}, *COLOR_PROBES)
    probes = write_probes(world.folder / "strict-colors.jsonl", lines)
    opened = open_pack(learners.pack(world, "colors", "--probes", probes))
    manifest = json.loads(opened.read(opened.image.config.digest))
    layers = [(one.media_type, opened.read(one.digest)) for one in opened.image.layers]
    manifest["capabilities"][0] |= values
    return Forge(manifest, json.loads(opened.image_bytes), layers)


def math(world: World, learners: Learners) -> Path:
    probes = write_probes(world.folder / "math.jsonl", MATH_PROBES)
    return learners.pack(world, "math", "--probes", probes)


def refused(world: World, *command: object, kind: str = "graft") -> str:
    """The message of a command that must fail without changing anything."""
    before = snapshot(world.project)
    said = world.fail(*command, code=1, kind=kind)
    assert snapshot(world.project) == before
    return said


def test_false_probe_value_does_not_stop_other_skills(world: World, learners: Learners) -> None:
    world.ask("install", forged(world, learners, value=0.0).write(world.folder / "lie.skillpack"))
    done = world.ask("install", learners.pack(world, "gentle"), "--guard")
    assert any(
        "`acme/colors 1.0.0` records token_loss 0, but measures " in n for n in done["notes"]
    )
    assert any("the guard passed: 1 probe (5 items) of 1 skill" in n for n in done["notes"])
    said = refused(world, "install", learners.pack(world, "noise"), "--guard")
    assert "culprit: `acme/noise 1.0.0`; without it, the probes of `acme/colors` pass" in said
    hint = said.splitlines()[-1]
    assert "acme/noise" in hint
    assert "acme/colors" not in hint


def test_nearly_true_probe_value_does_not_restrict_other_skills(
    world: World, learners: Learners
) -> None:
    """A recorded 0 is within the tolerance of the measured value, which then counts."""
    forge = forged(world, learners, value=0.0)
    items = b"".join(json.dumps(item).encode() + b"\n" for item in COLOR_PROBES)
    path = with_probes(forge, items).write(world.folder / "lie.skillpack")
    world.ask("install", path, "--guard")
    (result,) = world.ask("probe")["results"]
    assert result["reference"] == result["now"]
    assert result["bound"] > result["now"] * 1.5


def test_earlier_failures_are_reported_and_ignored(world: World, learners: Learners) -> None:
    world.ask("install", math(world, learners), learners.pack(world, "slight"))
    colors = write_probes(world.folder / "c.jsonl", COLOR_PROBES)
    world.ask("install", learners.pack(world, "colors", "--probes", colors))
    worse = world.run("install", learners.pack(world, "noise"), "--guard", "--json")
    assert worse.code == 0, "all probes failed before: there is nothing to lose"
    notes = worse.json["notes"]
    assert (
        sum("fails without this change too, and is ignored: `acme/" in note for note in notes) == 3
    )
    assert not any("the guard passed" in note for note in notes)


@pytest.mark.parametrize("value", [-1.0, -1e308, 1e308, 1e4])
def test_impossible_probe_value_is_refused_before_it_is_measured(
    world: World, learners: Learners, value: float
) -> None:
    lie = forged(world, learners, value=value).write(world.folder / "lie.skillpack")
    said = refused(world, "install", lie, "--guard", kind="spec")
    assert "capabilities[0].value" in said
    assert "expected 0 to 1000" in said


@pytest.mark.parametrize("value", [0.0])
def test_unconfirmed_probe_value_is_refused_by_name(
    world: World, learners: Learners, value: float
) -> None:
    lie = forged(world, learners, value=value).write(world.folder / "lie.skillpack")
    said = refused(world, "install", lie, learners.pack(world, "gentle"), "--guard")
    assert "the guard stopped" in said
    assert "1 probe of 1 skill failed" in said
    assert "alone on this base" in said
    culprits = [line for line in said.splitlines() if "culprit" in line]
    assert len(culprits) == 1
    assert "`acme/colors 1.0.0`; alone on the base, it does not reach" in culprits[0]
    assert (
        said.splitlines()[-1] == "leave out `acme/colors`; the probes of all other skills then pass"
    )


@pytest.mark.parametrize("lie", [{"value": 900.0}, {"base_value": 1000.0}])
def test_false_probe_value_does_not_let_a_change_remove_a_capability(
    world: World, learners: Learners, lie: dict[str, float]
) -> None:
    path = forged(world, learners, **lie).write(world.folder / "lie.skillpack")
    flags = () if lie.get("value") == 1e308 else ("--guard",)
    done = world.ask("install", path, *flags)
    assert flags == () or any("`acme/colors 1.0.0` records token_loss" in n for n in done["notes"])
    said = refused(world, "install", learners.pack(world, "noise"), "--guard")
    assert "`acme/colors` token_loss" in said
    assert "culprit: `acme/noise 1.0.0`" in said
    world.ask("install", learners.pack(world, "noise"))
    (result,) = world.ask("probe", code=1)["results"]
    assert not result["passed"], "what was measured counts for `probe` too"
    assert result["reference"] < 5


def chain(world: World, learners: Learners, bad: Path) -> None:
    """Publish `acme/top`, which requires `acme/mid`, which requires the skill in `bad`."""
    world.ask("publish", bad)
    skill = open_pack(bad).manifest.skill
    for name, needs in (("mid", skill), ("top", "acme/mid")):
        tuned = learners.tuned(
            name, ("the. ",), steps=2, rate=1e-4, only="layers.0.input_layernorm"
        )
        world.publish(tuned, f"acme/{name}", "1.0.0", "--requires", str(needs))


def test_false_requirement_three_levels_down_is_named_alone(
    world: World, learners: Learners
) -> None:
    chain(world, learners, forged(world, learners, value=0.0).write(world.folder / "l.skillpack"))
    said = refused(world, "install", "acme/top", "--guard")
    assert "culprit: `acme/colors 1.0.0`; alone on the base, it does not reach" in said
    assert "leave out `acme/colors`; the probes of all other skills then pass" in said
    assert "acme/top" not in said.split("the guard stopped")[1].split("\n", 1)[1]
    assert "acme/mid" not in said


def test_harmful_requirement_is_named_and_not_its_dependent(
    world: World, learners: Learners
) -> None:
    world.ask("install", math(world, learners))
    chain(world, learners, learners.pack(world, "noise"))
    said = refused(world, "install", "acme/top", "--guard")
    assert "culprit: `acme/noise 1.0.0`; without it, the probes of `acme/math` pass" in said
    assert "leave out `acme/noise`; the probes of all other skills then pass" in said
    assert "acme/mid" not in said


def test_skill_that_its_own_requirement_harms_is_not_reported_as_false(
    world: World, learners: Learners
) -> None:
    world.ask("publish", learners.pack(world, "noise"))
    probes = write_probes(world.folder / "math.jsonl", MATH_PROBES)
    more = ("--probes", probes, "--requires", "acme/noise")
    world.publish(learners.math, "acme/needy", "1.0.0", *more)
    said = refused(world, "install", "acme/needy", "--guard")
    assert "culprit: `acme/noise 1.0.0`; without it, the probes of `acme/needy` pass" in said


def test_two_new_skills_that_harm_each_other_are_both_named(
    world: World, learners: Learners
) -> None:
    probes = write_probes(world.folder / "colors.jsonl", COLOR_PROBES)
    colors = learners.pack(world, "colors", "--probes", probes)
    said = refused(world, "install", math(world, learners), colors, "--guard")
    assert "`acme/math` token_loss" in said
    assert "`acme/colors` token_loss" in said
    assert "of 2 skills failed" in said
    assert "without it, the probes of `acme/colors` pass" in said
    assert "without it, the probes of `acme/math` pass" in said


def test_installed_probes_that_cannot_run_do_not_stop_other_skills(
    world: World, learners: Learners
) -> None:
    forge = forged(world, learners)
    items = [{"query": f"q{n}", "document": f"d{n}"} for n in range(3)]
    path = with_probes(forge, "".join(json.dumps(item) + "\n" for item in items).encode())
    forge.manifest["capabilities"][0] |= {"metric": "mrr", "value": 0.5, "base_value": 0.1}
    world.ask("install", path.write(world.folder / "odd.skillpack"))
    done = world.ask("install", learners.pack(world, "gentle"), "--guard")
    assert any("unguarded: the probes of `acme/colors 1.0.0`" in n for n in done["notes"])
    assert not any("the guard passed" in note for note in done["notes"])


def with_probes(forge: Forge, data: bytes) -> Forge:
    """The pack with another probe file."""
    for number, (media_type, _) in enumerate(forge.layers):
        if media_type == oci.PROBES_TYPE:
            forge.layers[number] = (media_type, data)
    samples = len(data.splitlines())
    digest = str(Digest.of(data))
    for capability in forge.manifest["capabilities"]:
        capability |= {"probes": digest, "samples": samples}
    return forge


UNREADABLE = {
    "no JSON": b"\xff\xfe",
    "no items": b"\n",
    "a metric that is not known": b'{"metric": "charm", "text": "a b"}\n',
    "an answer that is none of the choices": (
        b'{"question": "a", "choices": ["b", "c"], "answer": "d"}\n'
    ),
    "a later format": b'{"probes": 2}\n{"text": "a b"}\n',
    "not a number": b'{"probes": 1, "tolerance": NaN}\n{"text": "a b"}\n',
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_probe_file_is_refused_by_install_and_publish(
    world: World, learners: Learners, data: bytes
) -> None:
    forge = with_probes(forged(world, learners), data)
    path = forge.write(world.folder / "odd.skillpack")
    for command in (("install", path), ("install", path, "--guard"), ("publish", path)):
        said = refused(world, *command, kind="spec")
        assert "the probe file of acme/colors 1.0.0" in said


def test_unreadable_probe_file_from_a_registry_is_refused(world: World, learners: Learners) -> None:
    forge = with_probes(forged(world, learners), UNREADABLE["no JSON"])
    files = forge.files()

    def open_blob(digest: Digest) -> BinaryIO:
        return io.BytesIO(files[f"blobs/sha256/{digest.hex}"])

    image = next(data for data in files.values() if data.startswith(b'{"annotations"'))
    assert blob_name(image) in files
    config = dump(forge.manifest)
    index = open_index(RegistryLocation.parse(str(world.home / "registry")), create=True)
    index.publish(image, open_blob, now=datetime.now(UTC))
    assert config in files.values()
    before = snapshot(world.project)
    for flags in ((), ("--guard",)):
        outcome = world.run("install", "acme/colors", *flags, "--json")
        assert (outcome.code, outcome.error["kind"]) in ((1, "spec"), (3, "integrity"))
        assert "the probe file" in outcome.error["message"]
        assert snapshot(world.project) == before


def test_two_values_of_one_probe_are_refused(world: World, learners: Learners) -> None:
    forge = forged(world, learners)
    first: dict[str, Any] = forge.manifest["capabilities"][0]
    forge.manifest["capabilities"].append({**first, "value": 900.0})
    path = forge.write(world.folder / "two.skillpack")
    assert "duplicate value of the probe metric token_loss" in refused(
        world, "install", path, kind="spec"
    )


def test_measurement_in_a_world_writable_home_is_repeated(world: World, learners: Learners) -> None:
    world.ask("install", math(world, learners), "--guard")
    (kept,) = (world.home / "cache" / "measures").iterdir()
    plain = unseal(kept.read_bytes(), "the measurement")
    for each in plain.values():
        each["value"] = 900.0 if each["value"] > 0 else each["value"]
    kept.write_bytes(seal(plain))
    world.home.chmod(0o777)
    said = refused(world, "install", learners.pack(world, "noise"), "--guard")
    assert "`acme/math` token_loss" in said
    for damage in (b"", b"[]", seal({"token_loss": {"value": "x"}}), json.dumps(plain).encode()):
        kept.write_bytes(damage)
        world.home.chmod(0o700)
        assert "acme/noise" in refused(world, "install", learners.pack(world, "noise"), "--guard")
