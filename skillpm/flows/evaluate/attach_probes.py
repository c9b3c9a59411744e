"""Probes in `pack`: measured on base and tuned model, and put into the pack with what they gave."""

from collections.abc import Mapping

from skillpm.checkpoint.model import Checkpoint
from skillpm.errors import GraftError
from skillpm.flows.evaluate.stage import running
from skillpm.flows.pack.manifest import Attachment, ModelPair
from skillpm.flows.pack.side_files import side_files
from skillpm.flows.session.session import Advance, Session
from skillpm.probing.measure import figure, mean, measure
from skillpm.probing.stand import ModelHost
from skillpm.running.runner import Runner
from skillpm.spec.capabilities import CAPABILITY
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Capability
from skillpm.spec.oci import PROBES_TYPE
from skillpm.spec.probes import METRICS, Probes

FILE = "probes.jsonl"


def examine(
    session: Session, against: ModelPair, /, *, probes: Probes, data: bytes, device: str
) -> Attachment:
    """Measure what the delta is against, and the tuned model; `data` is the file that was read.

    Costs two passes over the items. Raises `GraftError` where either cannot be run. A tuned model
    that is no better than its base is told of, and packed.
    """
    reference = against.reference
    stand = ModelHost(running(reference.base, device), reference.base)
    below = {
        name
        for pack in reference.layered_on
        for name in (entry.tensor for entry in pack.manifest.footprint)
    }
    if not stand.fits(reference.source, below):
        raise GraftError(
            "the set below has tensors of other shapes than the base: its probes cannot be run",
            hint="leave out --probes",
        )
    advance = session.progress("probe items", 2 * probes.count)
    before = _values(stand.show(reference.source, below), probes, advance)
    after = _values(_tuned(against, stand, below, device), probes, advance)
    found = []
    for name, value in after.items():
        if METRICS[name].gain(value, before[name]) <= 0:
            session.say(
                f"note: the probes see no gain: {name} is {value:g}, and {before[name]:g} without"
            )
        found.append(_capability(name, value, before[name], len(probes.items[name]), data))
    return Attachment(((PROBES_TYPE, data, FILE),), tuple(found))


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
    found = {}
    for name, items in probes.items.items():
        found[name] = figure(mean(measure(runner, name, items)))
        advance(len(items))
    return found


def _tuned(against: ModelPair, stand: ModelHost, below: set[str], device: str) -> Runner:
    """The tuned model: on the running base where it fits there, else from its own folder."""
    renamed = any(pair.tuned and pair.read_name != pair.tensor for pair in against.pairs)
    touched = below | {pair.tensor for pair in against.differing}
    files = side_files(against)
    if not renamed and not files and stand.fits(against.tuned, touched):
        return stand.show(against.tuned, touched)
    tuned = against.tuned
    if not isinstance(tuned, Checkpoint):
        raise GraftError(
            "probes run the tuned model, and this adapter changes more than the base's tensors",
            hint="merge it first: `model.merge_and_unload().save_pretrained(DIR)`",
        )
    return running(tuned, device)
