"""Which packs this home has verified, and on which base: what `install` need not do again.

One small file a pack and base, under `verified/` of the home. A project holds none of it, so a
project from a stranger cannot vouch for a pack.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from skillpm.errors import SkillpmError, StateError
from skillpm.journal.atomic import remove_strays, write_atomic
from skillpm.spec import json
from skillpm.spec.digests import Digest

RULES = 1
"""Raised with every check that is added: what an older skillpm verified is verified again."""


@dataclass(frozen=True)
class VerifiedPacks:
    """The packs that were verified by the checks of this skillpm, or of a later one."""

    home: Path

    @property
    def _folder(self) -> Path:
        return self.home / "verified"

    def _record(self, pack: Digest, base: Digest) -> Path:
        return self._folder / f"{pack.hex}-{base.hex}.json"

    def holds(self, pack: Digest, base: Digest) -> bool:
        """Whether a pack was verified on the base with this root. A damaged record is none."""
        try:
            plain = json.parse_object(self._record(pack, base).read_bytes(), "a record")
        except (OSError, SkillpmError):
            return False
        rules = plain.get("rules")
        named = (plain.get("pack"), plain.get("base")) == (str(pack), str(base))
        return named and type(rules) is int and rules >= RULES

    def remember(self, pack: Digest, base: Digest) -> None:
        """Record a pack that holds; a home that cannot be written costs time, not more."""
        plain = {"pack": str(pack), "base": str(base), "rules": RULES}
        with suppress(StateError, OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomic(self._record(pack, base), json.canonical(plain))

    def sweep(self) -> None:
        """Remove what writers that were killed left."""
        remove_strays(self._folder)
