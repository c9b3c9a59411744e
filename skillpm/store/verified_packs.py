"""Records of verified packs, so that `install` verifies a pack on a base only once.

The home has one small file for each pack and base, in `verified/`. Records are never read from a
project, so an untrusted project cannot declare a pack as verified.
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
from skillpm.spec.lockfile import LockedSkill, Lockfile

_FOLDER = "verified"
_LIMIT = 4096
"""The largest size of a record, in bytes."""
RULES = 1
"""The version of the checks. Increase it with every new check, so that packs are checked again."""


@dataclass(frozen=True)
class VerifiedPacks:
    """The packs that were verified by the checks of this version of skillpm, or of a later one.

    Records that another user could have written are ignored.
    """

    home: Path

    @cached_property
    def _is_trusted(self) -> bool:
        return is_owner_only(self.home / _FOLDER)

    def holds(self, pack: Digest, base: Digest) -> bool:
        """Whether a pack was verified on the base with this root. Damaged records do not count."""
        with suppress(SkillpmError), open_below(self.home, _FOLDER) as records:
            record = self._read(records, _record_name(pack, base))
            return self._is_trusted and record == (str(pack), str(base))
        return False

    def lacking(self, lock: Lockfile) -> tuple[LockedSkill, ...]:
        """The locked skills that were not verified on the lock's base, sorted."""
        return tuple(
            locked
            for locked in lock.skills.values()
            if not self.holds(locked.digest, lock.base.root)
        )

    def bases(self, pack: Digest) -> list[Digest]:
        """The roots of the bases on which a pack was verified, sorted."""
        records_of_pack: list[tuple[str, str] | None] = []
        with suppress(SkillpmError), open_below(self.home, _FOLDER) as records:
            names = [name for name in records.names() if name.startswith(f"{pack.hex}-")]
            if self._is_trusted:
                records_of_pack = [self._read(records, name) for name in names]
        pairs = filter(None, records_of_pack)
        roots = [Digest(base) for digest, base in pairs if digest == str(pack)]
        return [root for root in roots if self.holds(pack, root)]

    @staticmethod
    def _read(records: HomeFolder, name: str) -> tuple[str, str] | None:
        """The pack and base of a record; None if it is damaged or made by older checks."""
        try:
            record = json.parse_object(records.read(name, limit=_LIMIT), "a record")
            rules = record.get("rules")
            is_current = type(rules) is int and rules >= RULES
            pair = str(Digest(record["pack"])), str(Digest(record["base"]))
        except (SkillpmError, KeyError, TypeError, AttributeError):
            return None
        return pair if is_current else None

    def remember(self, pack: Digest, base: Digest) -> None:
        """Record that a pack was verified on a base. Errors in writing are ignored."""
        record = {"pack": str(pack), "base": str(base), "rules": RULES}
        with suppress(SkillpmError), open_below(self.home, _FOLDER, create=True) as records:
            records.write(_record_name(pack, base), json.canonical(record))

    def sweep(self) -> None:
        """Remove temporary files of killed processes.

        Raises `StateError` and `MissingFileError`.
        """
        with open_below(self.home, _FOLDER) as records:
            sweep_strays(records)


def _record_name(pack: Digest, base: Digest) -> str:
    return f"{pack.hex}-{base.hex}.json"
