"""The errors of a resolution: wrong base, unknown skill, deadline passed."""

from skillpm.errors import ResolutionError, StateError, UnknownSkillError
from skillpm.resolver.question import RootRequirement
from skillpm.spec.release import Release


class WrongBaseError(ResolutionError):
    """The requirements can only be satisfied by releases that are built for another base.

    `wrong_base` lists the releases that match the requirements and are excluded only because of
    their base: sorted by skill, the newest first.
    """

    def __init__(
        self, message: str, wrong_base: tuple[Release, ...], *, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.wrong_base = wrong_base


class UnknownWantedError(UnknownSkillError):
    """The catalogue has no release of a required skill. `skill` is its name."""

    def __init__(self, wanted: RootRequirement, *, hint: str | None = None) -> None:
        self.wanted = wanted
        self.skill = wanted.requirement.skill
        super().__init__(
            f"there is no skill `{self.skill}`, which is required by {wanted.origin}", hint=hint
        )


class GaveUpError(StateError):
    """The search reached its deadline before it found a solution or a proof that there is none.

    A solution may exist, so this error is not a `ResolutionError` and its exit code is not 4.
    `seconds` is the time limit.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(
            f"resolution stopped after {seconds:g} s without a result; a solution may still exist",
            hint="narrow the version requirements, or allow more time with `--timeout SECONDS`",
        )
