"""`transfer`: the stages in order, each resumable, and the report."""

from contextlib import ExitStack
from dataclasses import dataclass

from skillpm.flows.pack.pack import Packed
from skillpm.flows.session.session import Session
from skillpm.flows.transfer.evaluate import Evaluated, evaluate
from skillpm.flows.transfer.limits import check_limits
from skillpm.flows.transfer.package import Learnt, package
from skillpm.flows.transfer.plan import TransferRequest, plan_transfer
from skillpm.flows.transfer.rehearse import check_recorded, rehearse
from skillpm.flows.transfer.reporting import Transferred, used_flops
from skillpm.flows.transfer.run import TransferRun
from skillpm.flows.transfer.select import Filtered, filter_answers, sample_sources
from skillpm.flows.transfer.train import TrainedStage, train_dpo, train_sft
from skillpm.spec.words import counted
from skillpm.transfer.estimates import TransferEstimate
from skillpm.transfer.report import REPORT
from skillpm.transfer.stages import Stage
from skillpm.transfer.workspace import TransferWorkspace


def transfer(session: Session, request: TransferRequest) -> Transferred:
    """Run all stages up to `until`, each from where a killed command left it.

    Raises the errors of the stages. What was answered and trained before is kept.
    """
    plan = plan_transfer(session, request)
    with ExitStack() as closing:
        for source in plan.sources:
            closing.callback(source.close)
        opened = TransferWorkspace.open(
            session.home, plan.key, timeout=session.lock_timeout, say=session.say
        )
        workspace = closing.enter_context(opened)
        closing.enter_context(workspace.file_errors())
        return _run(TransferRun(session, plan, workspace))


def _run(run: TransferRun) -> Transferred:
    request, split = run.plan.request, run.plan.split
    check_limits(run.plan)
    if request.fresh:
        check_recorded(run)
        run.workspace.clear()
    if split.duplicates:
        left_out = counted(len(split.duplicates), "prompt is", "prompts are")
        run.say(f"{left_out} left out: the same text is there already")
    for host in sorted({source.remote_host or "" for source in run.plan.sources} - {""}):
        run.say(f"the prompts are sent to `{host}`")
    with run.timed(Stage.REHEARSE):
        found = rehearse(run)
    if request.dry_run:
        return Transferred(run.plan, str(run.workspace.path), found, notes=tuple(run.notes))
    return _Stages(run, found).up_to(request.until)


@dataclass
class _Stages:
    """The stages after the rehearsal. Each attribute is the result of one."""

    run: TransferRun
    estimate: TransferEstimate
    filtered: Filtered | None = None
    trained: tuple[TrainedStage, ...] = ()
    evaluated: Evaluated | None = None
    packed: Packed | None = None

    def up_to(self, until: Stage | None) -> Transferred:
        """Run the stages; stop after `until`."""
        run = self.run
        with run.timed(Stage.SAMPLE):
            sampled = sample_sources(run)
        if until is Stage.SAMPLE:
            return self._report()
        with run.timed(Stage.FILTER):
            self.filtered = filter_answers(run, sampled)
        if until is Stage.FILTER:
            return self._report()
        with run.timed(Stage.SFT):
            sft = train_sft(run, self.filtered.rows)
        self.trained = (sft,)
        if until is Stage.SFT:
            return self._report()
        with run.timed(Stage.DPO):
            dpo = train_dpo(run, self.filtered.rows, sft)
        self.trained = (sft, dpo) if dpo else (sft,)
        if until is Stage.DPO:
            return self._report()
        with run.timed(Stage.EVALUATE):
            self.evaluated = evaluate(run, self.trained)
        if until is Stage.EVALUATE:
            return self._report()
        with run.timed(Stage.PACK):
            flops = used_flops(self.trained, self.evaluated)
            learnt = Learnt(self.evaluated.best, self.filtered.rows, flops)
            self.packed = package(run, learnt)
        return self._report()

    def _report(self) -> Transferred:
        result = Transferred(
            self.run.plan,
            str(self.run.workspace.path),
            self.estimate,
            self.run.times,
            self.filtered,
            self.trained,
            self.evaluated,
            self.packed,
            tuple(self.run.notes),
        )
        self.run.workspace.write_object(REPORT, result.report())
        return result
