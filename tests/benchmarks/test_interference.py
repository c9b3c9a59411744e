from dataclasses import replace

import pytest
from skillpm_world import World as Project
from tiny_models import Models

from benchmarks.interference_measure import Row, World, forecast_of
from benchmarks.interference_predictors import PREDICTORS, Exact, meeting, spearman
from skillpm.archive.reader import open_pack
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


def test_the_share_that_is_lost_is_of_the_gain() -> None:
    assert ROW.lost == 0.5
    assert Row(0, "a", ("b",), base=3.0, alone=2.0, merged=1.5).lost == -0.5


def test_ranks_correlate_as_spearman_says() -> None:
    assert spearman([1, 2, 3, 4], [10, 20, 25, 900]) == pytest.approx(1.0)
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1.0)
    assert spearman([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]) == pytest.approx(0.8)
    assert spearman([1, 1, 2, 2], [1, 1, 2, 2]) == pytest.approx(1.0)


def test_a_manifest_and_the_deltas_themselves_tell_nearly_the_same(found: World) -> None:
    rough, exact = meeting(found, ROW), Exact(found).meeting(ROW)
    assert rough.own == pytest.approx(exact.own, rel=0.35)
    assert rough.added == pytest.approx(exact.added, rel=0.35)
    assert abs(rough.turn - exact.turn) < 0.25
    assert (rough.shared, rough.gain) == (1.0, 1.0)
    assert all(isinstance(predict(rough), float) for predict in PREDICTORS.values())


def test_the_benchmark_scores_the_forecast_that_a_dry_run_shows(found: World) -> None:
    there, back = (
        replace(ROW, victim=a, others=(b,)) for a, b in (("math", "tone"), ("tone", "math"))
    )
    norms = meeting(found, there)
    usual = min(norms.own, norms.added)  # of two claims the one that forecasts more harm
    assert forecast_of(found, there) == pytest.approx(norms.added / usual)
    assert forecast_of(found, back) == pytest.approx(norms.own / usual)
