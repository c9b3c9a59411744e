"""The number of cases of a property test: few in normal runs, all in runs with `slow`."""

from hypothesis import settings

THOROUGH = 100
"""Default number of examples of a property in thorough runs."""
QUICK = 20

settings.register_profile("thorough", max_examples=THOROUGH, deadline=None)
settings.register_profile("quick", max_examples=QUICK, deadline=None)


def is_thorough() -> bool:
    """Whether this run is thorough; test modules may call this when they are imported."""
    profile = settings.default
    assert profile is not None
    return profile.max_examples >= THOROUGH


def examples(most: int) -> int:
    """The number of examples for this run, at most `most`."""
    return most if is_thorough() else max(3, most * QUICK // THOROUGH)


def stride(usual: int, *, thorough: int = 1) -> int:
    """The step of a loop over every place: 1 in thorough runs."""
    return thorough if is_thorough() else usual
