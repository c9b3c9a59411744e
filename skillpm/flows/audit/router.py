"""Findings on router signatures: invalid ones, and skills that the router cannot tell apart."""

from collections.abc import Collection, Iterator

from skillpm.audit.findings import Finding
from skillpm.errors import SkillpmError
from skillpm.flows.packs.nearness import survey_signatures
from skillpm.flows.session.session import Session
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.nearness import near_warning


def router_findings(
    session: Session, installed: Lockfile, readable: Collection[SkillName]
) -> Iterator[Finding]:
    """Yield findings on the signatures of the readable packs; `audit_pack` reports the others.

    A near-equal pair is `medium`, or `low` if `[graft] precedence` orders its skills.
    """
    kept = [locked for locked in installed.skill if locked.skill in readable]
    try:
        survey = survey_signatures(session.store, installed.model_copy(update={"skill": kept}))
    except SkillpmError:
        return  # a damaged blob, which is reported as a separate finding
    for skill, reason in survey.unsound.items():
        text = (
            f"the router cannot select `{skill}`: {reason}; `skillpm uninstall {skill}` removes it"
        )
        yield Finding("high", "router-unsound", str(skill), text)
    order = installed.graft.precedence
    for pair in survey.pairs:
        settled = any(skill in order for skill in pair.skills)
        text = near_warning(pair, order)
        yield Finding("low" if settled else "medium", "router-near", str(pair.second), text)
