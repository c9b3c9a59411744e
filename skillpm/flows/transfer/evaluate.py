"""Stage 6: what base, SFT and DPO can do, and which of the trained models is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from skillpm.checks.judge import Judge
from skillpm.errors import GraftError
from skillpm.flows.transfer.run import BASE, GENERAL, ITEMS, Answers, TransferRun
from skillpm.flows.transfer.train import TrainedStage, with_share
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
        return self.trained[self.best.name]


def evaluate(run: TransferRun, trained: Sequence[TrainedStage]) -> Evaluated:
    """Measure all models, one loaded after another, and keep the best that holds the general bar.

    If none holds it, the next share of the change of weights is tried. Raises `GraftError` if no
    model holds the bar, unless the user accepts the loss.
    """
    models = list[TrainedStage]()
    with run.judge as judge:
        measuring = _Measuring(run, judge)
        measuring.measure(BASE, None)
        for place, share in enumerate(run.plan.document.train.interpolate):
            if place:
                run.say(f"the general bar is not held; {share:.0%} of the change is tried")
            tried = [with_share(run, each, share) for each in trained] if place else trained
            models += tried
            for each in tried:
                measuring.measure(each.name, each)
            measuring.judge_new()
            if any(measuring.abilities[each.name].holds_bar for each in tried):
                break
    abilities = measuring.abilities
    run.workspace.write_object(_FILE, {name: each.to_dict() for name, each in abilities.items()})
    best = _best(models, abilities)
    if not abilities[best.name].holds_bar:
        _refuse_loss(run, abilities[best.name], measuring.lost_answers(best.name))
    return Evaluated(abilities[BASE], {each.name: abilities[each.name] for each in models}, best)


@dataclass
class _Measuring:
    """What the base and tuned models answer and can do, and which general answers each keeps."""

    run: TransferRun
    judge: Judge
    answers: dict[str, "_Answered"] = field(default_factory=dict)
    kept: dict[str, Mapping[str, bool]] = field(default_factory=dict)
    abilities: dict[str, Ability] = field(default_factory=dict)

    def measure(self, name: str, model: TrainedStage | None) -> None:
        """Ask a model; None is the base."""
        self.answers[name] = _Answered.of(self.run, name, model)

    def judge_new(self) -> None:
        """Find the abilities of the models that were asked since the last call. Loads the base."""
        base, before = _Loaded(self.run).runner, self.answers[BASE].general
        split = self.run.plan.split
        for name, found in self.answers.items():
            if name in self.abilities:
                continue
            kept = self.kept[name] = kept_answers(base, split.general, before, found.general)
            self.abilities[name] = Ability(
                skill=share_right(split.held_out, found.items, self.judge),
                general=sum(kept.values()) / len(kept),
                prose=found.prose,
            )

    def lost_answers(self, name: str) -> str:
        """The first of the base's answers that a model lost."""
        lost = [prompt for prompt, is_kept in self.kept[name].items() if not is_kept]
        return _examples((self.answers[BASE].general, self.answers[name].general), lost)


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


def _best(trained: Sequence[TrainedStage], abilities: Mapping[str, Ability]) -> TrainedStage:
    """The model with the highest skill of those that hold the bar; the first one of a tie."""
    holding = [each for each in trained if abilities[each.name].holds_bar]
    return max(holding or trained, key=lambda each: abilities[each.name].skill)


def _refuse_loss(run: TransferRun, found: Ability, examples: str) -> None:
    """Raise `GraftError` for a model that lost general answers, unless the user accepts it."""
    message = (
        f"the trained model keeps {found.general:.0%} of the base's general answers; the bar is "
        f"{1 - TOLERATED:.0%}"
    )
    if run.plan.request.accept_loss:
        run.say(f"{message}; packed because of `--accept-loss`")
        return
    raise GraftError(
        f"{message}, so nothing is packed{examples}",
        hint="use more keep prompts, a larger `keep_share`, fewer epochs, a smaller `lr`, or "
        "`interpolate = [1, 0.75, 0.5]` under [train]; `--accept-loss` packs it anyway"
        f"{_reuse(run)}",
    )


def _reuse(run: TransferRun) -> str:
    """How the next transfer pays for no answer of an endpoint again."""
    if not run.plan.endpoint_requests:
        return ""
    folder = run.workspace.path
    return (
        f"; `{folder}/answers` and `{folder}/items` have the recorded answers, which can be the "
        "`answers` of a source"
    )


def _examples(answers: tuple[Answers, Answers], lost: Sequence[str]) -> str:
    """The first of the base's answers that were lost, as lines of text."""
    before, after = ({answer.id: answer.text for answer in each} for each in answers)
    lines = (f"  {name!r}: {_shown(before[name])} became {_shown(after[name])}" for name in lost)
    return ". For example:\n" + "\n".join(islice(lines, _LISTED))


def _shown(text: str) -> str:
    plain = " ".join(text.split())
    return repr(plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}…")
