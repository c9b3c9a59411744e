"""The yanked and quarantined releases that registries last listed, for commands that ask none.

The home has one sealed document for each such skill, in `cache/states/`. A missing document means
that nothing is known, or that no release of the skill is yanked.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from skillpm.errors import SkillpmError, SpecError, capped
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.store.sealed_documents import load_sealed, save_sealed

if TYPE_CHECKING:
    from skillpm.spec.release import Release

FOLDER = "states"
_RELEASES = 1000
"""The most releases of one skill that are recorded, the newest ones."""
_LIMIT = 1 << 20
"""The largest size of a document, in bytes."""


class ReleaseState(NamedTuple):
    """What a registry says about a release: yanked or quarantined, and the reason."""

    quarantined: bool
    reason: str


@dataclass(frozen=True)
class ReleaseStates:
    """The states of releases by their digests, as registries last listed them."""

    home: Path

    def of(self, skill: SkillName) -> Mapping[Digest, ReleaseState]:
        """The yanked and quarantined releases of a skill. A damaged document counts as missing."""
        content = load_sealed(self.home, *_names(skill), limit=_LIMIT)
        states: dict[Digest, ReleaseState] = {}
        with suppress(SpecError, TypeError, ValueError, AttributeError):
            for digest, (quarantined, reason) in (content or {}).items():
                states[Digest(digest)] = ReleaseState(quarantined is True, str(reason))
        return states

    def record(self, listed: "Mapping[SkillName, Sequence[Release]]") -> None:
        """Replace what is known about these skills. `listed` has all releases of each.

        Writes only what has changed; a home that cannot be written is ignored.
        """
        for skill, releases in listed.items():
            newest = sorted(releases, key=lambda release: release.version)[-_RELEASES:]
            states = {
                release.digest: ReleaseState(release.quarantined, capped(release.yank_reason))
                for release in newest
                if release.digest is not None and (release.yanked or release.quarantined)
            }
            with suppress(SkillpmError, OSError):
                if states != self.of(skill):
                    content = {str(digest): list(state) for digest, state in states.items()}
                    save_sealed(self.home, _names(skill), content)


def _names(skill: SkillName) -> tuple[str, str, str]:
    return FOLDER, skill.namespace, f"{skill.name}.json"
