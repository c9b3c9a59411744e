"""Packs with an invalid sketch: a plan reports it and continues."""

import base64
import struct
from pathlib import Path

import pytest
import skillpm_world
from attack_worlds import World

FORGED = {
    "short": "AAAA",
    "long": "A" * 200_000,
    "not base64": "!" * 1368,
    "escapes": "\x1b[31m" * 273 + "abc",
    "not a number": base64.b64encode(struct.pack("<256f", *[float("nan")] * 256)).decode(),
    "nothing": base64.b64encode(bytes(1024)).decode(),
}


@pytest.mark.parametrize("kind", FORGED)
def test_forged_sketch_is_reported_and_a_plan_is_still_made(
    kind: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge = world.forge()
    forge.manifest["sketch"] = FORGED[kind]
    forged = forge.write(tmp_path / "forged.skillpack")
    monkeypatch.setenv("SKILLPM_HOME", str(tmp_path / "home"))
    project = skillpm_world.World(tmp_path)
    project.project.mkdir()
    monkeypatch.chdir(project.project)
    project.init(world.base)
    plan = project.ask("install", forged, world.packs["graftllm"], "--dry-run")
    (pair,) = plan["forecast"]
    assert (pair["level"], pair["cosine"], pair["harm_to_a"]) == ("unknown", None, None)
    assert "acme/lossless 1.0.0 is not in the forecast: its sketch" in plan["forecast_notes"][0]
    shown = project.run("install", forged, world.packs["graftllm"], "--dry-run")
    assert "unknown" in shown.out
    assert "not in the forecast" in shown.err
    assert "\x1b" not in shown.out + shown.err
