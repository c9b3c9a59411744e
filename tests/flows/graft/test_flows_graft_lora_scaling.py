"""Ranks and alpha of a packed LoRA, from the scales of its factors and the manifest's statement."""

from math import inf, nan
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from skillpm.delta.codecs.shared.exact_product import Factor
from skillpm.delta.codecs.shared.forms import AdapterFactors
from skillpm.delta.encoding.low_rank_form import RANKS
from skillpm.flows.graft.lora_scaling import LoraScaling, find_scaling
from skillpm.spec.manifest import Manifest

ONE = 0x3F800000
LARGE = 0x7F000000
"""2^127 as F32: twice of it is no F32."""


def sides(rank: int, scale: float) -> AdapterFactors:
    a, b = (np.full(shape, ONE, np.uint32) for shape in ((rank, 3), (5, rank)))
    return AdapterFactors(Factor(a, "F32"), Factor(b, "F32"), scale, transposed=False)


def stating(adapter: Any) -> Manifest:
    settings = {} if adapter is None else {"adapter": adapter}
    return cast(Manifest, SimpleNamespace(compression=SimpleNamespace(settings=settings)))


def found(
    factors: dict[str, AdapterFactors], adapter: Any, *, pad: bool = False
) -> LoraScaling | None:
    return find_scaling(factors, [stating(adapter)], pad=pad)


def test_modules_of_one_kind_share_a_pattern() -> None:
    factors = {f"layers.{n}.q_proj": sides(4, 9 / 4) for n in range(2)}
    factors |= {f"layers.{n}.{kind}": sides(8, 2.0) for n in range(2) for kind in ("up", "down")}
    scaling = found(factors, {"alpha": 16})
    assert scaling is not None
    assert (scaling.rank, scaling.alpha) == (8, 16.0)
    assert (scaling.rank_pattern, scaling.alpha_pattern) == ({"q_proj": 4}, {"q_proj": 9.0})
    assert scaling.padded == ()


def test_single_module_that_differs_is_named_whole() -> None:
    factors = {f"layers.{n}.q_proj": sides(8, 2.0) for n in range(3)}
    factors["layers.1.q_proj"] = sides(2, 8.0)
    scaling = found(factors, {"alpha": 16})
    assert scaling is not None
    assert scaling.rank_pattern == {"layers.1.q_proj": 2}
    assert scaling.alpha_pattern == {}


@pytest.mark.parametrize("rank", [3, 6, 7, 12, 48])
@pytest.mark.parametrize("alpha", [1.0, 5.0, 16.0, 0.1, 2 / 3])
@pytest.mark.parametrize("rslora", [False, True])
def test_alpha_gives_the_stored_scale_to_the_last_bit(
    rank: int,
    alpha: float,
    rslora: bool,  # noqa: FBT001 - a case of the test
) -> None:
    root = rank**0.5 if rslora else rank
    scaling = found({"q": sides(rank, alpha / root)}, {"alpha": alpha, "rslora": rslora})
    assert scaling is not None
    assert (scaling.rank, scaling.rslora) == (rank, rslora)
    assert scaling.alpha / root == alpha / root


@pytest.mark.parametrize("alpha", [nan, inf, -1, True, "16", None, 10**400, [16]])
def test_false_statement_of_alpha_is_not_used(alpha: object) -> None:
    scaling = found({"q": sides(8, 2.0)}, {"alpha": alpha})
    assert scaling is not None
    assert scaling.alpha == 16.0


def test_pack_without_a_statement_has_no_scaling() -> None:
    assert found({"q": sides(8, 2.0)}, None) is None
    assert find_scaling({}, [], pad=True) is None


def test_whole_numbers_are_written_as_integers() -> None:
    scaling = found({"q": sides(8, 2.0)}, {"alpha": 16})
    assert scaling is not None
    assert scaling.to_config() == {
        "r": 8, "lora_alpha": 16, "use_rslora": False, "rank_pattern": {}, "alpha_pattern": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rank", "served"), [(1, 8), (7, 8), (8, 8), (9, 16), (16, 16), (300, 320), (512, 512)]
)
def test_rank_is_padded_to_the_next_one_that_vllm_serves(rank: int, served: int) -> None:
    scaling = found({"q": sides(rank, 2.0)}, {"alpha": 2 * rank}, pad=True)
    assert scaling is not None
    assert scaling.rank == served
    assert scaling.alpha / served * scaling.times["q"] == 2.0
    assert scaling.padded == (() if rank == served else (rank,))


@pytest.mark.parametrize(("rank", "times"), [(1, 8), (2, 4), (4, 2), (8, 1)])
def test_alpha_stays_if_the_ratio_of_ranks_is_a_power_of_two(rank: int, times: int) -> None:
    scaling = found({"q": sides(rank, 7.0 / rank)}, {"alpha": 7}, pad=True)
    assert scaling is not None
    assert (scaling.rank, scaling.alpha, scaling.times) == (8, 7.0, {"q": times})


def test_alpha_of_rslora_stays_if_the_ratio_is_a_power_of_four() -> None:
    scale = 7 / 2**0.5
    scaling = found({"q": sides(2, scale)}, {"alpha": 7, "rslora": True}, pad=True)
    assert scaling is not None
    assert (scaling.rank, scaling.rslora, scaling.alpha) == (8, True, 7.0)
    assert scaling.times == {"q": 2}


def test_alpha_grows_if_a_factor_would_overflow() -> None:
    large = sides(4, 2.0)
    large.b.words[0, 0] = LARGE
    scaling = found({"q": large}, {"alpha": 8}, pad=True)
    assert scaling is not None
    assert (scaling.rank, scaling.alpha, scaling.times) == (8, 16.0, {"q": 1})


def test_padding_avoids_an_alpha_of_single_modules() -> None:
    same_scale = {"q": sides(4, 2.0), "v": sides(8, 2.0)}
    scaling = found(same_scale, {"alpha": 16}, pad=True)
    assert scaling is not None
    assert (scaling.alpha, scaling.alpha_pattern, scaling.times) == (16.0, {}, {"q": 1, "v": 1})
    same_alpha = {"q": sides(4, 4.0), "v": sides(8, 2.0)}
    scaling = found(same_alpha, {"alpha": 16}, pad=True)
    assert scaling is not None
    assert (scaling.alpha, scaling.alpha_pattern, scaling.times) == (16.0, {}, {"q": 2, "v": 1})


def test_rank_above_those_of_vllm_is_kept() -> None:
    scaling = found({"q": sides(600, 2.0)}, {"alpha": 1200}, pad=True)
    assert scaling is not None
    assert (scaling.rank, scaling.alpha, scaling.padded) == (600, 1200.0, ())


def test_padding_unites_ranks() -> None:
    factors = {"q": sides(3, 2.0), "k": sides(5, 2.0), "v": sides(8, 2.0)}
    scaling = found(factors, {"alpha": 16}, pad=True)
    assert scaling is not None
    assert (scaling.rank, scaling.alpha) == (8, 16.0)
    assert (scaling.rank_pattern, scaling.alpha_pattern) == ({}, {})
    assert scaling.padded == (3, 5)


@pytest.mark.parametrize("rslora", [False, True])
def test_padded_rank_has_an_alpha_for_every_scale(
    rslora: bool,  # noqa: FBT001 - a case of the test
) -> None:
    numbers = np.random.default_rng(1)
    for rank in (1, 2, 3, 5, 6, 7, 12, 48, 200):
        for alpha in (1, 5, 16, *numbers.uniform(0.01, 100, 20)):
            root = rank**0.5 if rslora else rank
            scale = float(alpha) / root
            scaling = found({"q": sides(rank, scale)}, {"alpha": alpha, "rslora": rslora}, pad=True)
            assert scaling is not None
            assert scaling.rank in RANKS
            assert scaling.padded == (rank,)
            root = scaling.rank**0.5 if scaling.rslora else scaling.rank
            assert scaling.alpha / root * scaling.times["q"] == scale


def test_rslora_without_an_exact_alpha_is_padded_as_a_plain_lora() -> None:
    scaling = found({"q": sides(4, 3.5)}, {"alpha": 7, "rslora": True}, pad=True)
    assert scaling is not None
    assert (scaling.rank, scaling.rslora, scaling.alpha) == (8, False, 28.0)


def test_rank_is_kept_if_no_alpha_is_exact_at_the_next_one() -> None:
    scaling = found({"q": sides(300, 1 / 300)}, {"alpha": 1}, pad=True)
    assert scaling is not None
    assert (scaling.rank, scaling.alpha, scaling.padded) == (300, 1.0, ())
