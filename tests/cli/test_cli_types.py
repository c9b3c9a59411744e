"""Paths and numbers that every command accepts."""

import pytest
from skillpm_world import World

SECRET = "s3cr3t"  # noqa: S105 - what must not be printed
URLS = (
    f"https://bob:{SECRET}@h.example/m", f"https://h.example/x.skillpack?token={SECRET}",
    f"file://bob:{SECRET}@h/m", f"https:/bob:{SECRET}@h/m",
)  # fmt: skip


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize(
    "command",
    [
        ("registry", "init"), ("install",), ("verify",), ("inspect",), ("init", "--base"),
        ("identify",), ("publish",), ("apply",), ("graft", "-o"), ("audit", "--base"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_url_in_place_of_a_path_is_refused_and_not_shown(
    world: World, command: tuple[str, ...], url: str
) -> None:
    for more in ((), ("--json",)):
        outcome = world.run(*command, url, *more)
        assert outcome.code == 2, outcome
        assert SECRET not in outcome.out + outcome.err
    assert list(world.project.iterdir()) == []


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "-nan"])
@pytest.mark.parametrize(
    "command", [("list", "--lock-timeout"), ("gc", "--older-than"), ("gc", "--grace")], ids=" ".join
)
def test_infinite_or_nan_number_is_refused(
    world: World, command: tuple[str, ...], number: str
) -> None:
    assert world.run(*command, number).code == 2
