"""Skill names: `namespace/name`."""

import re
from typing import NamedTuple

from skillpm.errors import SpecError

HALF_LIMIT = 64
_HALF = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*", re.ASCII)


def is_half(text: str) -> bool:
    """Whether `text` is a valid namespace, or a valid name within a namespace."""
    return len(text) <= HALF_LIMIT and _HALF.fullmatch(text) is not None


class SkillName(NamedTuple):
    """The name of a skill. Ordered by namespace and name, printed as `namespace/name`."""

    namespace: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "SkillName":
        """Read `namespace/name`. Raises `SpecError`."""
        namespace, slash, name = text.partition("/")
        if not (slash and is_half(namespace) and is_half(name)):
            raise SpecError(
                f"{text!r} is not a skill name: expected `namespace/name`, each half of at most "
                f"{HALF_LIMIT} lower-case letters and digits joined by `.`, `_`, `__` or dashes",
                hint="write the name like `acme/math`",
            )
        return cls(namespace, name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    def pack_file(self, version: object) -> str:
        """The name of a release's pack file, `NAMESPACE-NAME-VERSION.skillpack`."""
        return f"{self.namespace}-{self.name}-{version}.skillpack"
