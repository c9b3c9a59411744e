"""`pack --probes`: measure the probes on both models, and add them to the pack with the results."""

from collections.abc import Mapping
from dataclasses import dataclass

from skillpm.checkpoint.model import Checkpoint
from skillpm.errors import GraftError
from skillpm.flows.evaluate.pack_effect import ProbesEffect, probe_batches
from skillpm.flows.evaluate.stage import load_runner
from skillpm.flows.pack.attachments import Attachment, side_files
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.flows.session.session import Session
from skillpm.parallel import Advance
from skillpm.probing.faults import refuse_faulty_checks
from skillpm.probing.measure import mean, measure, round_to_six_digits
from skillpm.probing.model_host import ModelHost
from skillpm.running.answers import ReferenceAnswers
from skillpm.running.runner import Runner
from skillpm.spec.capabilities import CAPABILITY
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Capability
from skillpm.spec.oci import PROBES_TYPE
from skillpm.spec.probes import METRICS, Probes

FILE = "probes.jsonl"


@dataclass(frozen=True)
class ProbeFile:
    """Probes and the bytes that they were read from, which the pack carries."""

    probes: Probes
    data: bytes


def attach_probes(
    session: Session,
    models: ModelPair,
    /,
    *,
    file: ProbeFile,
    device: str,
    lossy: bool,
    steady: frozenset[str] = frozenset(),
) -> Attachment:
    """Measure the reference model and the tuned model, and return the layer with the results.

    Metrics in `steady` measure what should stay as it is, so that no gain is expected of them.
    Costs two passes over the items. If the tuned model is not better than the reference, a note
    reports it. A `lossy` pack is measured too, after it is encoded, unless it changes files that
    the running base would have to load. Raises `GraftError` if a model cannot be run.
    """
    probes, data = file.probes, file.data
    refuse_faulty_checks(probes, "the probe file")
    host, below = _host(models, device)
    advance = session.progress("probe items", 2 * probes.count)
    before = _values(host.show(models.reference.source, below), probes, advance)
    runner = _tuned(models, host, below, device)
    after = _values(runner, probes, advance)
    for name in sorted(after.keys() - steady):
        _note_no_gain(session, name, after[name], before[name])
    capabilities = tuple(
        _capability(name, value, before[name], len(probes.items[name]), data)
        for name, value in after.items()
    )
    effect = None
    if lossy and runner is host.runner:
        answers = ReferenceAnswers.of(runner, probe_batches(runner, probes))
        effect = ProbesEffect(session, models, host, below, probes, answers, (before, after))
    elif lossy:
        session.say(
            "note: the pack is not measured on the probes: it changes files of the model, so only "
            "its graft can be run; `skillpm probe` does that"
        )
    return Attachment(((PROBES_TYPE, data, FILE),), capabilities, effect)


def _host(models: ModelPair, device: str) -> tuple[ModelHost, frozenset[str]]:
    """The running base, and the tensors that the packs of `--over` change.

    Raises `GraftError` if they change the shape of one.
    """
    reference = models.reference
    host = ModelHost(load_runner(reference.base, device), reference.base)
    below = frozenset(
        entry.tensor for pack in reference.layered_on for entry in pack.manifest.footprint
    )
    if not host.fits(reference.source, below):
        raise GraftError(
            "probes cannot be run: the packs of `--over` change the shape of tensors of the base",
            hint="pack without `--probes`",
        )
    return host, below


def _note_no_gain(session: Session, metric: str, value: float, base: float) -> None:
    if METRICS[metric].gain(value, base) <= 0:
        session.say(
            f"note: the probes measure no gain: {metric} is {value:g} for the tuned model and "
            f"{base:g} for its base"
        )


def _capability(metric: str, value: float, base: float, samples: int, data: bytes) -> Capability:
    return Capability(
        name=CAPABILITY,
        metric=metric,
        value=value,
        base_value=base,
        samples=samples,
        probes=Digest.of(data),
    )


def _values(runner: Runner, probes: Probes, advance: Advance) -> Mapping[str, float]:
    values = {}
    for name, items in probes.items.items():
        values[name] = round_to_six_digits(mean(measure(runner, name, items)))
        advance(len(items))
    return values


def _tuned(models: ModelPair, host: ModelHost, below: frozenset[str], device: str) -> Runner:
    """Return the tuned model: on the running base if it fits, else loaded from its own folder."""
    renamed = any(pair.tuned and pair.read_name != pair.tensor for pair in models.pairs)
    touched = below | {pair.tensor for pair in models.differing}
    files = side_files(models)
    if not renamed and not files and host.fits(models.tuned, touched):
        return host.show(models.tuned, touched)
    tuned = models.tuned
    if not isinstance(tuned, Checkpoint):
        raise GraftError(
            "probes cannot be run: the adapter changes more than tensors of the base",
            hint="merge it first: `model.merge_and_unload().save_pretrained(DIR)`",
        )
    return load_runner(tuned, device)
