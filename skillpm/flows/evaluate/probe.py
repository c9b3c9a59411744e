"""`probe`: run the probes of installed skills on the merged, routed or grafted model."""

from collections.abc import Sequence
from pathlib import Path

from skillpm.environment.project import ProjectFolder
from skillpm.flows.evaluate.answering import Answers, MergedAnswers, answers_of
from skillpm.flows.evaluate.carried import carried_by, evaluate
from skillpm.flows.evaluate.measured import with_measurements
from skillpm.flows.evaluate.probe_report import Probed, check_installed
from skillpm.flows.evaluate.stage import open_candidate, probe_errors
from skillpm.flows.packs.quarantine import refuse_installed
from skillpm.flows.session.session import Session
from skillpm.running.runner import Runner
from skillpm.running.untrusted_files import UntrustedModelFiles
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.store.packs import load_pack


def probe(
    session: Session, skills: Sequence[SkillName], *, device: str, graft: Path | None = None
) -> Probed:
    """Run the probes of these skills, or of all, on the installed set or on the model in `graft`.

    The bounds follow from earlier measurements of a pack on this base, else from its recorded
    values. Writes nothing. Raises `NotFoundError` for a skill that is not installed, and
    `QuarantinedReleaseError`.
    """
    project = ProjectFolder(session.project)
    current = project.generation()
    lock = current.lockfile
    check_installed(lock, skills)
    refuse_installed(session, project, lock)
    wanted = [skill for skill in lock.skills if not skills or skill in skills]
    carried = with_measurements(session, lock, carried_by(session, lock, wanted), device)
    without = tuple(skill for skill in wanted if skill not in carried)
    if not carried:
        return Probed(current.number, lock.graft.mode, (), without)
    if graft is not None:
        with probe_errors():
            foreign = UntrustedModelFiles() if _brings_files(session, lock) else None
            answers: Answers = MergedAnswers(Runner.load(graft, device, foreign))
    else:
        answers = answers_of(open_candidate(session, project, device), lock)
    results = tuple(
        result for probes in carried.values() for result in evaluate(session, answers, probes)
    )
    return Probed(current.number, lock.graft.mode, results, without)


def _brings_files(session: Session, lock: Lockfile) -> bool:
    """Whether a pack of the set has side files, which transformers would read in a graft."""
    packs = (load_pack(session.store, locked.digest) for locked in lock.skills.values())
    return any(pack.manifest.files for pack in packs)
