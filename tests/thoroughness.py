"""How many cases a law is tried on: some in the run of every change, all where `slow` runs too."""

from hypothesis import settings

THOROUGH = 100
"""Examples of a law that asks for no number of its own, where there is time."""
QUICK = 20

settings.register_profile("thorough", max_examples=THOROUGH, deadline=None)
settings.register_profile("quick", max_examples=QUICK, deadline=None)


def is_thorough() -> bool:
    """Whether this run takes its time; a test module may ask when it is imported."""
    return settings.default.max_examples >= THOROUGH


def examples(most: int) -> int:
    """As many examples as this run has time for, of `most`."""
    return most if is_thorough() else max(3, most * QUICK // THOROUGH)


def stride(usual: int, *, thorough: int = 1) -> int:
    """The step of a walk over every place: each, where there is time."""
    return thorough if is_thorough() else usual
