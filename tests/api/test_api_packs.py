"""`skillpm.pack`, `inspect`, `verify` and `identify`: functions that need no project."""

from pathlib import Path

import pytest
from skillpm_world import World
from tiny_models import Models

import skillpm


def test_lossless_pack_has_the_root_of_the_tuned_model(
    world: World, models: Models, tmp_path: Path
) -> None:
    base, tuned = models.pair("fp32")
    file = tmp_path / "math.skillpack"
    pack = skillpm.pack(base, tuned, name="acme/math", version="1.0.0", output=file, summary="Sums")
    assert pack == skillpm.inspect(file)
    assert (pack.skill, pack.version, pack.scheme) == ("acme/math", "1.0.0", "lossless")
    assert pack.base_root == skillpm.identify(base).root
    assert pack.result_root == skillpm.identify(tuned).root
    assert pack.manifest["summary"] == "Sums"
    assert pack.ratio == pytest.approx(pack.delta_bytes / pack.payload_bytes, abs=1e-4)
    assert "acme/math" in repr(pack)
    verified = skillpm.verify(file, base)
    assert verified.root == pack.result_root
    assert skillpm.verify(file).root is None


def test_budget_is_text_or_bytes(world: World, models: Models, tmp_path: Path) -> None:
    base, tuned = models.pair("fp32")
    file = tmp_path / "small.skillpack"
    limit = 90_000
    pack = skillpm.pack(base, tuned, name="acme/math", version="1.0.0", output=file, budget=limit)
    assert pack.scheme == "auto"
    assert file.stat().st_size <= limit
    with pytest.raises(skillpm.SpecError, match="budget"):
        skillpm.pack(base, tuned, name="acme/math", version="1.0.0", budget="much")
    with pytest.raises(skillpm.UsageError, match="cannot be used together"):
        skillpm.pack(base, tuned, name="acme/math", version="1.0.0", budget="5%", keep=0.9)


def test_invalid_input_raises_and_writes_nothing(world: World, models: Models) -> None:
    base, tuned = models.pair("fp32")
    with pytest.raises(skillpm.GraftError, match="nothing to pack"):
        skillpm.pack(base, base, name="acme/math", version="1.0.0")
    with pytest.raises(skillpm.SpecError, match="skill name"):
        skillpm.pack(base, tuned, name="math", version="1.0.0")
    with pytest.raises(skillpm.SpecError):
        skillpm.pack(base, tuned, name="acme/math", version="1")
    with pytest.raises(skillpm.SkillpmError):
        skillpm.inspect(world.folder / "nothing.skillpack")
    assert not list(Path.cwd().glob("*.skillpack"))


def test_identify_returns_root_size_and_dtype(models: Models) -> None:
    identity = skillpm.identify(models.pair("fp32")[0])
    assert identity.root.startswith("sha256:")
    assert identity.tensors > 0
    assert identity.parameters > identity.tensors
    assert identity.dtype == "F32"
