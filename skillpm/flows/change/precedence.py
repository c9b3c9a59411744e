"""Precedence of near-equal skills: recorded at install time, after asking the user."""

from collections.abc import Callable, Collection, Iterable, Sequence

from skillpm.errors import IntegrityError, StateError
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.nearness import NearPair, SignatureSurvey, near_warning
from skillpm.spec.oci import ROUTER_TYPE
from skillpm.store.packs import StoredPack

Confirm = Callable[[str], bool | None]


def has_signature(packs: Iterable[StoredPack]) -> bool:
    """Whether any of these packs has a router signature."""
    return any(pack.image.layer(ROUTER_TYPE) for pack in packs)


def check_sound(survey: SignatureSurvey, moved: Collection[SkillName], action: str) -> None:
    """Raise `IntegrityError` if a new router signature is malformed."""
    refused = [skill for skill in survey.unsound if skill in moved]
    if refused:
        listed = "\n".join(f"  `{skill}`: {survey.unsound[skill]}" for skill in refused)
        raise IntegrityError(
            f"`{action}` would install malformed router signatures; nothing was changed:\n{listed}",
            hint=f"leave out `{refused[0]}`, or ask its author for a pack that "
            "`skillpm pack --router` wrote",
        )


def settled_order(
    pairs: Sequence[NearPair],
    lock: Lockfile,
    before: Collection[SkillName],
    direct: Sequence[SkillName],
) -> tuple[SkillName, ...]:
    """The order of precedence, with every skill of a near-equal pair in it.

    Listed skills stay where they are. The others are appended: first those that the project
    requires directly, among these first those that were installed before, then by `[skills]`.
    """
    listed = tuple(lock.graft.precedence)
    asked = {skill: place for place, skill in enumerate(direct)}
    near = {skill for pair in pairs for skill in pair.skills} - set(listed)

    def rank(skill: SkillName) -> tuple[bool, bool, int, SkillName]:
        return skill not in asked, skill not in before, asked.get(skill, 0), skill

    return (*listed, *sorted(near, key=rank))


def check_confirmed(
    survey: SignatureSurvey,
    order: Sequence[SkillName],
    moved: Collection[SkillName],
    confirm: Confirm,
) -> tuple[str, ...]:
    """A warning for each near-equal pair with a new skill, after the user has agreed.

    Raises `StateError` if the user declines.
    """
    new = [pair for pair in survey.pairs if any(skill in moved for skill in pair.skills)]
    notes = tuple(f"warning: {near_warning(pair, order)}" for pair in new)
    if new and confirm("\n".join((*notes, "Go on?"))) is False:
        raise StateError(
            "the near-equal skills were declined; nothing was changed",
            hint="list the winner first in `precedence` in `[graft]` of skillpm.toml, or use `-y`",
        )
    return notes
