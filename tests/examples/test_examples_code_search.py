"""The training of the demo: its batches, and the settings that the benchmarks rely on."""

from dataclasses import asdict, replace

import pytest

from examples.code_search.data import Function
from examples.code_search.settings import DEMO, Settings
from examples.code_search.train import _batches

FUNCTIONS = [Function(f"module{n % 7}", f"f{n}", f"does {n}", f"return {n}") for n in range(500)]
SMALL = Settings(batch=32, group=8)


def _drawn(passes: float) -> list[tuple[Function, ...]]:
    return list(_batches(FUNCTIONS, settings=replace(SMALL, passes=passes)))


def test_a_pass_takes_each_function_at_most_once() -> None:
    batches = _drawn(1)
    assert len(batches) == len(FUNCTIONS) // SMALL.group // (SMALL.batch // SMALL.group)
    functions = [function for batch in batches for function in batch]
    assert len(set(functions)) == len(functions)
    assert all(len(batch) == SMALL.batch for batch in batches)


@pytest.mark.parametrize("passes", [0.5, 0.2])
def test_a_part_of_a_pass_is_its_beginning(passes: float) -> None:
    whole, part = _drawn(1), _drawn(passes)
    assert len(part) == round(passes * len(whole))
    assert part == whole[: len(part)]


def test_later_passes_have_another_order() -> None:
    two = _drawn(2)
    one = _drawn(1)
    assert two[: len(one)] == one
    assert two[len(one) :] != one
    assert len(two) == 2 * len(one)


def test_the_demo_trains_less_than_the_benchmarks_whose_settings_are_fixed() -> None:
    """Tables in the documentation, and caches of trained models, depend on the defaults."""
    assert asdict(Settings()) == {
        "seed": 0, "passes": 1, "batch": 64, "group": 16, "learning_rate": 2e-4, "warmup": 0.1,
        "temperature": 0.05, "docstring_tokens": 32, "body_tokens": 64,
    }  # fmt: skip
    assert DEMO.passes < Settings().passes
