"""What an audit finds in router signatures: unsound ones, and skills that are near-equal."""

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
    """Findings on the signatures of the packs that can be read; the others are found elsewhere.

    A near-equal pair is `medium` until `[graft] precedence` says which skill wins, then `low`.
    """
    kept = [one for one in installed.skill if one.skill in readable]
    try:
        survey = survey_signatures(session.store, installed.model_copy(update={"skill": kept}))
    except SkillpmError:
        return  # a damaged blob, which is a finding of its own
    for skill, reason in survey.unsound.items():
        yield Finding("high", "router-unsound", str(skill), f"`{skill}` is not routed to: {reason}")
    order = installed.graft.precedence
    for pair in survey.pairs:
        settled = any(skill in order for skill in pair.skills)
        text = near_warning(pair, order)
        yield Finding("low" if settled else "medium", "router-near", str(pair.second), text)
