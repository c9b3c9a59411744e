"""The errors that skillpm raises on purpose: one root class, with a subclass for each kind.

The command line reports `kind` and `exit_code` (contract, section 5). A subclass with facts of its
own keeps them as attributes and builds the message from them.
"""

from collections.abc import Iterable
from typing import ClassVar

MESSAGE_LIMIT = 8000
"""Characters of a message."""
LINE_LIMIT = 500
"""Characters of one problem in a message, which may quote untrusted text."""


def capped(text: str, limit: int = LINE_LIMIT) -> str:
    """The text; if it is longer than `limit` characters, its middle is left out."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}… ({len(text) - 2 * half} characters more) …{text[-half:]}"


class SkillpmError(Exception):
    """The root class. The message states what failed, the hint how to fix it."""

    kind: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = capped(message, MESSAGE_LIMIT)
        super().__init__(self.message)
        self.hint = hint


class SpecError(SkillpmError):
    """A value or a document is malformed."""

    kind = "spec"


class UsageError(SkillpmError):
    """The options of a command contradict each other."""

    kind = "usage"
    exit_code = 2


class NotFoundError(SkillpmError):
    """A file, a folder or a generation does not exist."""

    kind = "not_found"


class UnknownSkillError(NotFoundError):
    """No configured registry has the skill or the release."""

    exit_code = 4


class ResolutionError(SkillpmError):
    """No set of releases satisfies the requirements (also: wrong base, conflicting packs)."""

    kind = "resolution"
    exit_code = 4


class IntegrityError(SkillpmError):
    """A digest, a leaf, a root or a limit was violated."""

    kind = "integrity"
    exit_code = 3


class DigestMismatchError(IntegrityError):
    """Data does not have the expected digest. `what` names the data."""

    def __init__(self, what: str, *, expected: str, found: str, hint: str | None = None) -> None:
        super().__init__(f"{what} should be `{expected}`, but is `{found}`", hint=hint)
        self.expected = expected
        self.found = found


class GraftError(SkillpmError):
    """A pack cannot be built, or a set of packs cannot be grafted."""

    kind = "graft"


class StateError(SkillpmError):
    """The state of a project, the store or a registry does not allow the command."""

    kind = "state"


class RegistryError(SkillpmError):
    """A registry cannot be reached or read."""

    kind = "registry"
    exit_code = 5


class AuthError(SkillpmError):
    """A registry refuses the credentials of a request, or the request has none."""

    kind = "auth"


class Problems:
    """Collects all problems of a document, each with its path, to raise them as one error."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.found: list[str] = []

    def add(self, path: str, problem: str) -> None:
        """Add a problem at `path` (`footprint[3].leaf`; empty for the document itself)."""
        shown = capped(problem)
        self.found.append(f"{capped(path)}: {shown}" if path else shown)

    def extend(self, problems: Iterable[tuple[str, str]]) -> None:
        """Add several problems, given as pairs of path and problem."""
        for path, problem in problems:
            self.add(path, problem)

    def raise_if_any(self, *, hint: str | None = None) -> None:
        """Raise `SpecError` with one line for each problem, if there are any."""
        if self.found:
            shown = [f"  {line}" for line in self.found[:50]]
            if len(self.found) > len(shown):
                shown.append(f"  … and {len(self.found) - len(shown)} more")
            count = f"{len(self.found)} problem{'s' if len(self.found) > 1 else ''}"
            raise SpecError("\n".join([f"{self.what} has {count}:", *shown]), hint=hint)
