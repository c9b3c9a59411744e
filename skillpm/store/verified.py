"""Which packs this home has verified, and on which base: what `install` need not do again.

One small file a pack and base, under `verified/` of the home. A project holds none of it, so a
project from a stranger cannot vouch for a pack.
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from skillpm.errors import SkillpmError
from skillpm.files.access import HomeFolder, open_below
from skillpm.files.ownership import is_owner_only
from skillpm.journal.atomic import sweep_strays
from skillpm.spec import json
from skillpm.spec.digests import Digest

_FOLDER = "verified"
_LIMIT = 4096
"""Bytes of one record."""
RULES = 1
"""Raised with every check that is added: what an older skillpm verified is verified again."""


@dataclass(frozen=True)
class VerifiedPacks:
    """The packs that were verified by the checks of this skillpm, or of a later one.

    Records that someone else could have written are not believed.
    """

    home: Path

    @cached_property
    def _is_trusted(self) -> bool:
        return is_owner_only(self.home / _FOLDER)

    def holds(self, pack: Digest, base: Digest) -> bool:
        """Whether a pack was verified on the base with this root. A damaged record is none."""
        with suppress(SkillpmError), open_below(self.home, _FOLDER) as records:
            found = self._read(records, _record(pack, base))
            return self._is_trusted and found == (str(pack), str(base))
        return False

    def bases(self, pack: Digest) -> list[Digest]:
        """The roots of the bases that a pack was verified on, sorted."""
        found: list[tuple[str, str] | None] = []
        with suppress(SkillpmError), open_below(self.home, _FOLDER) as records:
            names = [name for name in records.names() if name.startswith(f"{pack.hex}-")]
            found = [self._read(records, name) for name in names] if self._is_trusted else []
        roots = [Digest(base) for digest, base in filter(None, found) if digest == str(pack)]
        return [root for root in roots if self.holds(pack, root)]

    @staticmethod
    def _read(records: HomeFolder, name: str) -> tuple[str, str] | None:
        """Pack and base of a record; None where it is damaged, or of older checks."""
        try:
            plain = json.parse_object(records.read(name, limit=_LIMIT), "a record")
            rules = plain.get("rules")
            current = type(rules) is int and rules >= RULES
            return (str(Digest(plain["pack"])), str(Digest(plain["base"]))) if current else None
        except (SkillpmError, KeyError, TypeError, AttributeError):
            return None

    def remember(self, pack: Digest, base: Digest) -> None:
        """Record a pack that holds; a home that cannot be written costs time, not more."""
        plain = {"pack": str(pack), "base": str(base), "rules": RULES}
        with suppress(SkillpmError), open_below(self.home, _FOLDER, create=True) as records:
            records.write(_record(pack, base), json.canonical(plain))

    def sweep(self) -> None:
        """Remove what writers that were killed left. Raises `StateError`, `MissingFileError`."""
        with open_below(self.home, _FOLDER) as records:
            sweep_strays(records)


def _record(pack: Digest, base: Digest) -> str:
    return f"{pack.hex}-{base.hex}.json"
