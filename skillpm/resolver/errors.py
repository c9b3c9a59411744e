"""How a resolution fails: no answer, a wrong base, an unknown skill, or out of patience."""

from skillpm.errors import ResolutionError, StateError, UnknownSkillError
from skillpm.resolver.question import RootRequirement
from skillpm.spec.release import Release


class WrongBaseError(ResolutionError):
    """No answer, and there would be one but for the base.

    `wrong_base` has the releases that the requirements admit and that were left out for their
    base alone, by skill, newest first.
    """

    def __init__(
        self, message: str, wrong_base: tuple[Release, ...], *, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.wrong_base = wrong_base


class UnknownWantedError(UnknownSkillError):
    """A skill that is asked for, and that the catalogue has no release of; `skill` names it."""

    def __init__(self, wanted: RootRequirement, *, hint: str | None = None) -> None:
        self.wanted = wanted
        self.skill = wanted.requirement.skill
        super().__init__(
            f"there is no skill `{self.skill}`, which is asked for by {wanted.origin}", hint=hint
        )


class GaveUpError(StateError):
    """The search was cut off: nothing is known about whether an answer exists.

    So it is no `ResolutionError`, and not exit code 4. `seconds` is how long it was let search.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(
            f"gave up after {seconds:g} s of searching: this does not mean that there is no "
            "solution",
            hint="name narrower versions of what is asked for, so that less has to be tried, or "
            "give it longer with `--timeout SECONDS`",
        )
