from dataclasses import replace

import pytest
from skillpm_world import World as Project
from tiny_models import Models

from benchmarks.interference.measure import Row, World, forecast_of, groups
from benchmarks.interference.predictors import PREDICTORS, Exact, meeting, spearman
from benchmarks.interference.size import Kind, fitted, ratios
from benchmarks.interference.skills import ALL
from skillpm.archive.reader import open_pack
from skillpm.spec.harm import BY_GAIN, BY_LENGTH, HarmCurve
from skillpm.spec.manifest import Capability


@pytest.fixture
def found(world: Project, models: Models) -> World:
    tuned = {"math": models.tuned("mlp")[1], "tone": models.tuned("", 3)[1]}
    base = models.pair("fp32")[0]
    packs = {
        name: open_pack(world.pack((base, folder), f"acme/{name}", "1.0.0"))
        for name, folder in tuned.items()
    }
    recorded = Capability(name="probes", metric="token_loss", value=2.0, base_value=3.0)
    manifests = {
        name: one.manifest.model_copy(update={"capabilities": [recorded]})
        for name, one in packs.items()
    }
    return World(0, base, tuned, packs, {}, manifests)


ROW = Row(0, "math", ("tone",), base=3.0, alone=2.0, merged=2.5)


def test_lost_share_is_relative_to_the_gain() -> None:
    assert ROW.lost == 0.5
    assert Row(0, "a", ("b",), base=3.0, alone=2.0, merged=1.5).lost == -0.5


def test_spearman_is_the_rank_correlation() -> None:
    assert spearman([1, 2, 3, 4], [10, 20, 25, 900]) == pytest.approx(1.0)
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1.0)
    assert spearman([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]) == pytest.approx(0.8)
    assert spearman([1, 1, 2, 2], [1, 1, 2, 2]) == pytest.approx(1.0)


def test_figures_from_manifests_approximate_those_from_deltas(found: World) -> None:
    rough, exact = meeting(found, ROW), Exact(found).meeting(ROW)
    assert rough.own == pytest.approx(exact.own, rel=0.35)
    assert rough.added == pytest.approx(exact.added, rel=0.35)
    assert abs(rough.turn - exact.turn) < 0.25
    assert (rough.shared, rough.gain) == (1.0, 1.0)
    assert all(isinstance(predict(rough), float) for predict in PREDICTORS.values())


def test_benchmark_scores_the_forecast_of_a_dry_run(found: World) -> None:
    there, back = (
        replace(ROW, victim=a, others=(b,)) for a, b in (("math", "tone"), ("tone", "math"))
    )
    norms = meeting(found, there)
    # Both gained 1.0, so the longer delta has the smaller curvature; the usual one is the larger.
    smaller, larger = sorted((norms.own, norms.added))
    for row, added in ((there, norms.added), (back, norms.own)):
        curvature = 1 / smaller if added == smaller else (1 / smaller / larger) ** 0.5
        assert forecast_of(found, row) == pytest.approx(BY_GAIN.lost(added * curvature))
        by_length = BY_LENGTH.lost(added / (norms.own + norms.added - added))
        assert forecast_of(found, row, gains=False) == pytest.approx(by_length)


def test_lost_share_at_a_weight_excludes_the_cost_of_the_own_weight() -> None:
    assert replace(ROW, weight=0.5, weighed=2.4).lost == pytest.approx(0.1)


def test_groups_contain_known_skills_and_are_unique() -> None:
    todo = groups(1)
    assert len(set(todo)) == len(todo)
    assert {name for _, names in todo for name in names} == {skill.name for skill in ALL}
    assert [len(names) for weight, names in todo if weight == 0.5] == [2] * 45 + [5] * 10


def test_ratios_exclude_and_count_values_without_a_ratio() -> None:
    lost = [0.5, 0.5, 0.5, -0.3, 0.01, 0.7]
    found = ratios([0.5, 0.25, 1.0, 0.9, 0.9, None], lost)
    assert found.median == pytest.approx(1.0)
    assert (found.small, found.unknown) == (2, 1)
    assert 0.5 < found.low < 1.0 < found.high < 2.0
    assert str(ratios([0.4], [-1.0])) == "-"
    assert str(ratios([0.4], [0.4])) == "1.00 (1.00 to 1.00)"


def test_fitted_finds_the_power_law_of_the_losses() -> None:
    shares = [0.1, 0.4, 1.0, 3.0, 9.0]
    true, used = HarmCurve(0.6, 0.8), HarmCurve(0.9, 0.5)
    lost = [*map(true.lost, shares), -0.2]
    kind = Kind([*map(used.lost, shares), 1.0], lost)
    found = fitted([kind, kind], used)
    assert (found.factor, found.power) == pytest.approx((0.6, 0.8))
