"""Stage 6: what base, SFT and DPO can do, and which of the trained models is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skillpm.checks.judge import Judge
from skillpm.errors import GraftError
from skillpm.flows.transfer.run import BASE, GENERAL, ITEMS, Answers, TransferRun
from skillpm.flows.transfer.train import TrainedStage
from skillpm.running.runner import Runner
from skillpm.transfer.evaluation import TOLERATED, Ability, kept_answers, prose_loss
from skillpm.transfer.filtering import share_right
from skillpm.transfer.sources.folder import FolderSource

_FILE = "abilities.json"
_LISTED = 3
_SHOWN = 120


@dataclass(frozen=True)
class Evaluated:
    """The abilities of the base and of each trained model, and the model that is kept."""

    base: Ability
    trained: Mapping[str, Ability]
    best: TrainedStage

    @property
    def after(self) -> Ability:
        """The ability of the kept model."""
        return self.trained[self.best.stage]


def evaluate(run: TransferRun, trained: Sequence[TrainedStage]) -> Evaluated:
    """Measure all models, one loaded after another, and keep the best that holds the general bar.

    Raises `GraftError` if none holds it, unless the user accepts the loss.
    """
    with run.judge as judge:
        answers = {BASE: _Answered.of(run, BASE, None)}
        for each in trained:
            answers[each.stage] = _Answered.of(run, each.stage, each)
        base = _Loaded(run).runner
        abilities = {
            name: _ability(run, judge, base, (answers[BASE], found))
            for name, found in answers.items()
        }
    run.workspace.write_object(_FILE, {name: each.to_dict() for name, each in abilities.items()})
    before = abilities.pop(BASE)
    return Evaluated(before, abilities, _best(run, trained, abilities, answers))


@dataclass(frozen=True)
class _Answered:
    """A model's answers to the held-out items and to the general questions, and its prose loss."""

    items: Answers
    general: Answers
    prose: float | None

    @classmethod
    def of(cls, run: TransferRun, name: str, model: TrainedStage | None) -> "_Answered":
        plan, loaded = run.plan, _Loaded(run, model)
        prefix = name.removeprefix("_")
        learnt = model.digest if model else ""
        items = run.model_task(name, ITEMS, plan.split.held_out, plan.of_items, learnt)
        general = run.model_task(name, GENERAL, plan.split.general, plan.of_general, learnt)
        found = run.ask(loaded.source, items, f"answers of {prefix}")
        more = run.ask(loaded.source, general, f"answers of {prefix}")
        return cls(found, more, loaded.prose(f"prose-{prefix}.json", learnt))


class _Loaded:
    """A model that is loaded when it is first needed."""

    def __init__(self, run: TransferRun, model: TrainedStage | None = None) -> None:
        self._run = run
        self._folder = model.tuned if model else run.plan.base_folder
        self._source: FolderSource | None = None

    def source(self) -> FolderSource:
        """The model as a source."""
        if self._source is None:
            self._source = FolderSource.load(self._folder, self._run.plan.request.device)
        return self._source

    @property
    def runner(self) -> Runner:
        """The running model."""
        return self.source().runner

    def prose(self, file: str, learnt: str) -> float | None:
        """The loss of prose; measured once."""
        recorded = self._run.workspace.read_object(file)
        if recorded.get("learnt") != learnt:
            recorded = {"learnt": learnt, "nats_per_token": prose_loss(self.runner)}
            self._run.workspace.write_object(file, recorded)
        value = recorded["nats_per_token"]
        return None if value is None else float(value)


def _ability(
    run: TransferRun, judge: Judge, base: Runner, answers: tuple[_Answered, _Answered]
) -> Ability:
    before, after = answers
    split = run.plan.split
    kept = kept_answers(base, split.general, before.general, after.general)
    return Ability(
        skill=share_right(split.held_out, after.items, judge),
        general=sum(kept.values()) / len(kept),
        prose=after.prose,
    )


def _best(
    run: TransferRun,
    trained: Sequence[TrainedStage],
    abilities: Mapping[str, Ability],
    answers: Mapping[str, _Answered],
) -> TrainedStage:
    """The model with the highest skill of those that hold the bar; the first one of a tie."""
    holding = [each for each in trained if abilities[each.stage].holds_bar]
    best = max(holding or trained, key=lambda each: abilities[each.stage].skill)
    if holding:
        return best
    found = abilities[best.stage]
    message = (
        f"the trained model keeps {found.general:.0%} of the base's general answers; the bar is "
        f"{1 - TOLERATED:.0%}"
    )
    if run.plan.request.accept_loss:
        run.say(f"{message}; packed because of `--accept-loss`")
        return best
    raise GraftError(
        f"{message}, so nothing is packed{_examples(run, answers, best)}",
        hint="use more keep prompts, a larger `keep_share`, fewer epochs or a smaller `lr` under "
        "[train]; `--accept-loss` packs it anyway",
    )


def _examples(run: TransferRun, answers: Mapping[str, _Answered], best: TrainedStage) -> str:
    """The first general answers that changed, as lines of text."""
    before = {answer.id: answer.text for answer in answers[BASE].general}
    after = {answer.id: answer.text for answer in answers[best.stage].general}
    changed = [p for p in run.plan.split.general if before[p.id] != after[p.id]][:_LISTED]
    lines = (
        f"  {prompt.id!r}: {_shown(before[prompt.id])} became {_shown(after[prompt.id])}"
        for prompt in changed
    )
    return ". For example:\n" + "\n".join(lines) if changed else ""


def _shown(text: str) -> str:
    plain = " ".join(text.split())
    return repr(plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}…")
