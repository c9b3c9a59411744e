"""Every error that skillpm raises on purpose: one root, seven families.

Facts are attributes; the class writes the sentence. `exit_code` and `kind` are what the command
line reports (contract, section 5).
"""

from collections.abc import Iterable
from typing import ClassVar

MESSAGE_LIMIT = 8000
LINE_LIMIT = 500
"""Characters of a message, and of one problem in it: a stranger's text does not fill a screen."""


def capped(text: str, limit: int = LINE_LIMIT) -> str:
    """The text, cut in its middle where it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}… ({len(text) - 2 * half} characters more) …{text[-half:]}"


class SkillpmError(Exception):
    """The root: a message that says what, expected and found, and a hint to paste."""

    kind: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = capped(message, MESSAGE_LIMIT)
        super().__init__(self.message)
        self.hint = hint


class SpecError(SkillpmError):
    """A value or a document that does not have the form it must have."""

    kind = "spec"


class UsageError(SkillpmError):
    """A command line that contradicts itself."""

    kind = "usage"
    exit_code = 2


class NotFoundError(SkillpmError):
    """A file, folder or generation that is not there."""

    kind = "not_found"


class UnknownSkillError(NotFoundError):
    """A skill or release that no registry in reach has."""

    exit_code = 4


class ResolutionError(SkillpmError):
    """No set of releases satisfies what is asked (also: wrong base, conflicting packs)."""

    kind = "resolution"
    exit_code = 4


class IntegrityError(SkillpmError):
    """A digest, a leaf, a root or a bound does not hold."""

    kind = "integrity"
    exit_code = 3


class DigestMismatchError(IntegrityError):
    """Bytes whose digest is not the one they were asked for by."""

    def __init__(self, what: str, *, expected: str, found: str, hint: str | None = None) -> None:
        super().__init__(f"{what} should be `{expected}`, but is `{found}`", hint=hint)
        self.expected = expected
        self.found = found


class GraftError(SkillpmError):
    """A pack that cannot be cut, or a set that cannot be grafted."""

    kind = "graft"


class StateError(SkillpmError):
    """A project, store or registry whose state forbids what was asked."""

    kind = "state"


class RegistryError(SkillpmError):
    """A registry that cannot be reached or read."""

    kind = "registry"
    exit_code = 5


class Problems:
    """Collects every problem of one document, each with its path, and raises them at once."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.found: list[str] = []

    def add(self, path: str, problem: str) -> None:
        """Note one problem at `path` (`footprint[3].leaf`; empty for the document itself)."""
        shown = capped(problem)
        self.found.append(f"{capped(path)}: {shown}" if path else shown)

    def extend(self, problems: Iterable[tuple[str, str]]) -> None:
        """Note several problems, as pairs of path and problem."""
        for path, problem in problems:
            self.add(path, problem)

    def raise_if_any(self, *, hint: str | None = None) -> None:
        """Raise `SpecError` with a line for each problem; do nothing where there is none."""
        if self.found:
            shown = [f"  {line}" for line in self.found[:50]]
            if len(self.found) > len(shown):
                shown.append(f"  … and {len(self.found) - len(shown)} more")
            count = f"{len(self.found)} problem{'s' if len(self.found) > 1 else ''}"
            raise SpecError("\n".join([f"{self.what} has {count}:", *shown]), hint=hint)
