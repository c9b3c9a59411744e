"""Which packs this home has verified, and on which base: what `install` need not do again.

One small file a pack and base, under `verified/` of the home. A project holds none of it, so a
project from a stranger cannot vouch for a pack.
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from skillpm.errors import SkillpmError, StateError
from skillpm.files.ownership import is_owner_only
from skillpm.journal.atomic import remove_strays, write_atomic
from skillpm.spec import json
from skillpm.spec.digests import Digest

RULES = 1
"""Raised with every check that is added: what an older skillpm verified is verified again."""


@dataclass(frozen=True)
class VerifiedPacks:
    """The packs that were verified by the checks of this skillpm, or of a later one.

    Records that someone else could have written are not believed.
    """

    home: Path

    @property
    def _folder(self) -> Path:
        return self.home / "verified"

    def _record(self, pack: Digest, base: Digest) -> Path:
        return self._folder / f"{pack.hex}-{base.hex}.json"

    @cached_property
    def _is_trusted(self) -> bool:
        return is_owner_only(self._folder)

    def holds(self, pack: Digest, base: Digest) -> bool:
        """Whether a pack was verified on the base with this root. A damaged record is none."""
        path = self._record(pack, base)
        return self._is_trusted and self._read(path) == (str(pack), str(base))

    def bases(self, pack: Digest) -> list[Digest]:
        """The roots of the bases that a pack was verified on, sorted."""
        records = self._folder.glob(f"{pack.hex}-*.json") if self._is_trusted else ()
        named = (self._read(path) for path in sorted(records))
        roots = [Digest(base) for digest, base in filter(None, named) if digest == str(pack)]
        return [root for root in roots if self.holds(pack, root)]

    @staticmethod
    def _read(path: Path) -> tuple[str, str] | None:
        """Pack and base of a record; None where it is damaged, or of older checks."""
        try:
            plain = json.parse_object(path.read_bytes(), "a record")
            rules = plain.get("rules")
            current = type(rules) is int and rules >= RULES
            return (str(Digest(plain["pack"])), str(Digest(plain["base"]))) if current else None
        except (OSError, SkillpmError, KeyError, TypeError, AttributeError):
            return None

    def remember(self, pack: Digest, base: Digest) -> None:
        """Record a pack that holds; a home that cannot be written costs time, not more."""
        plain = {"pack": str(pack), "base": str(base), "rules": RULES}
        with suppress(StateError, OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomic(self._record(pack, base), json.canonical(plain))

    def sweep(self) -> None:
        """Remove what writers that were killed left."""
        remove_strays(self._folder)
