from typing import Any

import numpy as np
import pytest
from spec_documents import ENTRY, A, manifest_plain

from skillpm.delta.tensors.countsketch import encode_sketch
from skillpm.spec import json
from skillpm.spec.forecast import Forecast, forecast, level_of, share_text
from skillpm.spec.harm import BY_GAIN
from skillpm.spec.manifest import Manifest, parse_manifest
from skillpm.spec.names import SkillName
from skillpm.spec.overlap import BUCKETS

EAST, NORTH = np.zeros((2, BUCKETS))
EAST[0::2], NORTH[1::2] = 1.0, 1.0


def skill(name: str, sketch: np.ndarray | str, **more: Any) -> Manifest:
    text = sketch if isinstance(sketch, str) else encode_sketch(sketch)
    fresh = {"skill": f"acme/{name}", "sketch": text, "footprint": [ENTRY], "requires": []}
    return parse_manifest(json.canonical({**manifest_plain(), "conflicts": [], **fresh, **more}))


def over(*lower: str) -> dict[str, Any]:
    listed = [{"skill": f"acme/{name}", "version": "1.2.0", "digest": A} for name in lower]
    return {"over": listed, "requires": [f"acme/{name} =1.2.0" for name in lower]}


def name(text: str) -> SkillName:
    return SkillName.parse(f"acme/{text}")


def forecast_of(*manifests: Manifest, weights: dict[str, float] | None = None, mode: str = "merge",
         about: list[str] | None = None) -> Forecast:  # fmt: skip
    weighed = {name(one): weight for one, weight in (weights or {}).items()}
    return forecast(manifests, weighed, mode, None if about is None else [*map(name, about)])


def test_smaller_delta_loses_more_to_a_larger_one() -> None:
    (pair,) = forecast_of(skill("big", 3 * EAST), skill("small", NORTH)).pairs
    assert pair.harm_to_a is not None
    assert pair.harm_to_b is not None
    assert pair.harm_to_b > 5 * pair.harm_to_a > 0
    assert pair.cosine == 0.0
    assert pair.level == "high"


def test_smaller_weight_does_less_harm() -> None:
    harms = [
        forecast_of(skill("a", EAST), skill("b", NORTH), weights={"b": weight}).pairs[0].harm_to_a
        for weight in (1.0, 0.5, 0.1)
    ]
    known = [harm for harm in harms if harm is not None]
    assert harms == sorted(known, reverse=True)
    assert len(set(harms)) == 3


def test_single_skill_has_no_harm() -> None:
    (alone,) = forecast_of(skill("a", EAST)).skills
    assert (alone.harm, alone.level) == (0.0, "none")


def gained(gain: float, metric: str = "token_loss", **more: Any) -> dict[str, Any]:
    figures = {"name": "probes", "metric": metric, "value": 2.0, "base_value": 2.0 + gain}
    return {"capabilities": [figures], **more}


def test_skill_with_the_smaller_gain_has_more_harm_for_equal_deltas() -> None:
    (pair,) = forecast_of(
        skill("much", EAST, **gained(2.0)), skill("little", NORTH, **gained(0.5))
    ).pairs
    assert (str(pair.a), str(pair.b)) == ("acme/little", "acme/much")
    # The gains are as 1 to 4. Along the delta that gained less, the curvature is half as large.
    assert pair.harm_to_a == pytest.approx(8**BY_GAIN.power * (pair.harm_to_b or 0))


@pytest.mark.parametrize("recorded", [
    gained(-1.0), gained(0.0), {"capabilities": []},
    {"capabilities": [{"name": "probes", "metric": "mrr", "value": 0.5, "base_value": 1.0}]},
    {"capabilities": [{"name": "probes", "metric": "token_loss", "value": 2.0}]},
])  # fmt: skip
def test_deltas_are_compared_by_length_without_a_gain_in_loss(recorded: dict[str, Any]) -> None:
    bare = forecast_of(skill("a", EAST, capabilities=[]), skill("b", 2 * NORTH, capabilities=[]))
    assert forecast_of(skill("a", EAST, **recorded), skill("b", 2 * NORTH, **recorded)) == bare


def test_gain_of_a_layered_skill_is_not_used() -> None:
    lower, rival = skill("lower", EAST), skill("rival", EAST)
    upper = skill("upper", NORTH, **over("lower"), **gained(9.0))
    bare = skill("upper", NORTH, **over("lower"), capabilities=[])
    assert forecast_of(lower, upper, rival) == forecast_of(lower, bare, rival)


def test_forecast_lists_only_requested_pairs_but_all_skills() -> None:
    found = forecast_of(*(skill(one, EAST + NORTH) for one in "abcd"), about=["c"])
    assert {(str(p.a), str(p.b)) for p in found.pairs} == {
        ("acme/a", "acme/c"), ("acme/b", "acme/c"), ("acme/c", "acme/d")
    }  # fmt: skip
    assert [str(one.skill) for one in found.skills] == ["acme/a", "acme/b", "acme/c", "acme/d"]


def test_worst_pair_is_first_for_any_order_of_the_set() -> None:
    manifests = [skill("a", EAST), skill("b", NORTH), skill("c", 5 * NORTH - EAST)]
    found = forecast_of(*manifests)
    assert found.pairs[0].worst == max(pair.worst for pair in found.pairs)
    assert found == forecast_of(*reversed(manifests))


def test_skill_has_no_harm_from_the_skills_it_is_layered_on() -> None:
    lower, upper = skill("lower", EAST), skill("upper", NORTH, **over("lower"))
    found = forecast_of(lower, upper)
    assert found.pairs == ()
    assert [one.harm for one in found.skills] == [0.0, 0.0]


def test_layered_skill_includes_the_deltas_below_it() -> None:
    rival, lower = skill("rival", NORTH), skill("lower", 3 * EAST)
    pairs = forecast_of(lower, skill("upper", EAST, **over("lower")), rival).pairs
    stacked = next(pair for pair in pairs if str(pair.b) == "acme/upper")
    (bare,) = forecast_of(skill("upper", EAST), rival).pairs
    assert (stacked.harm_to_b or 0) < (bare.harm_to_b or 0) / 3


def test_harm_of_several_skills_is_between_their_maximum_and_their_sum() -> None:
    turns = [np.roll(np.repeat([1.0, 0.0], [32, 224]), 32 * turn) for turn in range(4)]
    found = forecast_of(*(skill(f"s{turn}", each) for turn, each in enumerate(turns)))
    single = [pair.harm_to_a for pair in found.pairs if str(pair.a) == "acme/s0"]
    harms = [harm or 0.0 for harm in single]
    assert len(harms) == 3
    assert max(harms) < (found.skills[0].harm or 0) < sum(harms)


def test_routed_mode_has_no_forecast() -> None:
    found = forecast_of(skill("big", 9 * EAST), skill("small", NORTH), mode="routed")
    assert (found.pairs, found.skills, found.method) == ((), (), None)
    assert "nothing is merged, so no skill loses" in found.notes[0]
    assert forecast_of(skill("big", 9 * EAST), mode="routed").notes == ()


def test_forecast_for_another_method_has_a_note() -> None:
    both = [skill("big", 3 * EAST), skill("small", NORTH)]
    found, summed = forecast(both, {}, "merged", method="ties"), forecast_of(*both)
    assert (found.pairs, found.skills, found.method) == (summed.pairs, summed.skills, "sum")
    assert summed.notes == ()
    (note,) = found.notes
    assert "assumes the method `sum`, but `[graft]` sets `ties`" in note
    assert forecast(both[:1], {}, "merged", method="ties").notes == ()


def test_unusable_sketch_is_noted_and_does_not_affect_other_pairs() -> None:
    sound = [skill("a", EAST), skill("b", NORTH)]
    found = forecast_of(*sound, skill("evil", "AAAA"))
    assert [str(p.b) for p in found.pairs[:2]] == ["acme/evil"] * 2
    assert {p.level for p in found.pairs[:2]} == {"unknown"}
    assert [pair for pair in found.pairs if pair.level != "unknown"] == [*forecast_of(*sound).pairs]
    (note,) = found.notes
    assert note.startswith("acme/evil 1.2.0 is not in the forecast: its sketch has 4 ")
    assert [one.level for one in found.skills][-1] == "unknown"


def test_skill_without_comparable_skills_has_an_unknown_forecast() -> None:
    found = forecast_of(skill("a", EAST), skill("evil", "AAAA"))
    assert [(one.harm, one.level) for one in found.skills] == [(None, "unknown")] * 2


def test_pack_without_additive_tensors_does_no_harm_and_has_unknown_harm() -> None:
    added = {"footprint": [{**ENTRY, "tensor": "new", "change": "added", "leaf": None}]}
    (pair,) = forecast_of(skill("a", EAST), skill("adds", np.zeros(BUCKETS), **added)).pairs
    assert (pair.harm_to_a, pair.harm_to_b, pair.overlap) == (0.0, None, 0.0)
    assert pair.level == "unknown"


def test_huge_sketch_gives_a_high_forecast_without_overflow() -> None:
    found = forecast_of(
        skill("a", EAST), skill("huge", np.full(BUCKETS, 3.4e38)), skill("b", NORTH)
    )
    assert [pair.level for pair in found.pairs] == ["high", "high", "high"]
    assert [one.level for one in found.skills] == ["high", "high", "none"]


@pytest.mark.parametrize(("share", "word"), [
    (None, "unknown"), (0.0, "none"), (0.05, "low"), (0.2, "medium"), (0.5, "high"), (7.0, "high")
])  # fmt: skip
def test_level_of_maps_ranges_of_the_lost_share(share: float | None, word: str) -> None:
    assert level_of(share) == word


OTHER = {"footprint": [{**ENTRY, "tensor": "elsewhere"}]}


def test_disjoint_skills_without_recorded_gains_have_no_forecast() -> None:
    bare: dict[str, Any] = {"capabilities": []}
    found = forecast_of(skill("a", EAST, **bare), skill("b", 9 * NORTH, **bare, **OTHER))
    (pair,) = found.pairs
    assert (pair.overlap, pair.harm_to_a, pair.harm_to_b, pair.level) == (
        0.0,
        None,
        None,
        "unknown",
    )
    assert {one.level for one in found.skills} == {"unknown"}


def test_disjoint_skills_need_the_gains_of_both() -> None:
    known, other = skill("a", EAST, **gained(1.0)), {**gained(1.0), **OTHER}
    (pair,) = forecast_of(known, skill("b", NORTH, **{**other, "capabilities": []})).pairs
    assert (pair.harm_to_a, pair.harm_to_b, pair.level) == (None, None, "unknown")
    (pair,) = forecast_of(known, skill("b", NORTH, **other)).pairs
    assert pair.harm_to_a == pair.harm_to_b == pytest.approx(BY_GAIN.factor)


def test_harm_that_does_not_include_all_skills_is_noted() -> None:
    bare: dict[str, Any] = {"capabilities": []}
    one, other = skill("a", EAST, **bare), skill("b", 0.1 * NORTH, **bare)
    apart = skill("c", 9 * NORTH, **bare, **OTHER)
    (note,) = forecast_of(one, other, apart).notes
    assert note.startswith(
        "the forecast for acme/a, acme/b does not include skills that share no tensor"
    )
    assert [s.level == "unknown" for s in forecast_of(one, other, apart).skills] == [
        False,
        False,
        True,
    ]
    assert forecast_of(one, other).notes == forecast_of(one, apart).notes == ()


def test_pair_with_an_unknown_harm_has_the_level_of_the_known_one() -> None:
    extra = {"tensor": "new", "change": "added", "leaf": None}
    empty = skill("adds", np.zeros(BUCKETS), footprint=[{**ENTRY, **extra}])
    assert [pair.level for pair in forecast_of(skill("a", EAST), empty).pairs] == ["unknown"]
    lower, upper = skill("lower", "AAAA"), skill("upper", 9 * EAST, **over("lower"))
    (pair,) = [one for one in forecast_of(lower, upper, skill("r", NORTH)).pairs if one.overlap]
    assert (pair.harm_to_b, pair.level) == (None, "high")


@pytest.mark.parametrize(
    ("harm", "text"), [(None, "an unknown share"), (0.6, "about 60 %"), (7.0, "all")]
)
def test_share_text_is_at_most_all(harm: float | None, text: str) -> None:
    assert share_text(harm) == text
