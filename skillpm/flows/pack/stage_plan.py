"""The stages of `pack` and their expected seconds, for one progress bar over all of them.

The seconds per byte are those of a fine-tune of SmolLM2-135M in bfloat16 on one core. Only their
ratios matter: the bar compares them with the measured speed of the stages that are done.
"""

from collections.abc import Iterator, Sequence

from skillpm.delta.encoding.schemes import Lossless, Scheme
from skillpm.flows.pack.attachments import Attach
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.flows.pack.scheme import EncodingTarget
from skillpm.flows.session.session import Session
from skillpm.parallel import PlannedStage

_SURVEY, _TRIAL, _AGAIN = 95e-9, 40e-9, 12e-9
_CHECK_AUTO = 14e-9
_ENCODE = {"fast": 8e-9, "normal": 16e-9, "best": 22e-9}
_CHECK = 10e-9
_GRAFTLLM, _CHECK_GRAFTLLM = 66e-9, 16e-9
_CALIBRATE, _COMPARE = 900e-9, 60e-9
_FACTORS = 1e-9
_ATTACH = 30.0
"""The seconds of the functions that run both models, such as probes."""
TRIALS = 4
"""The trials that are planned for a budget; later ones encode few tensors again."""


def plan_encoding(
    session: Session,
    models: ModelPair,
    scheme: Scheme | EncodingTarget,
    attach: Sequence[Attach] = (),
) -> None:
    """Plan the stages after both models are hashed."""
    attached = [PlannedStage(label, _ATTACH) for label in ("probe items", "router examples")]
    session.plan((*attached[: len(attach)], *_stages(models, scheme)))


def _stages(models: ModelPair, scheme: Scheme | EncodingTarget) -> Iterator[PlannedStage]:
    size = models.delta_bytes
    if isinstance(scheme, EncodingTarget):
        yield from _auto(size, scheme)
        return
    encode, check = _GRAFTLLM, _CHECK_GRAFTLLM
    if isinstance(scheme, Lossless):
        encode, check = _ENCODE[scheme.effort], _CHECK
        if models.adapter is not None:
            encode = check = _FACTORS
    yield PlannedStage("encoding", encode * size)
    yield PlannedStage("checking", check * size)


def _auto(size: int, target: EncodingTarget) -> Iterator[PlannedStage]:
    has_text = target.calibrate is not None
    if has_text:
        yield PlannedStage("calibrating", _CALIBRATE * size)
    yield PlannedStage("surveying", _SURVEY * size)
    repeats = has_text or target.budget is not None
    for number in range(TRIALS if repeats else 1):
        yield PlannedStage("encoding", (_AGAIN if number else _TRIAL) * size)
        if has_text and (target.budget is None or number == TRIALS - 1):
            yield PlannedStage("comparing", _COMPARE * size)
    yield PlannedStage("checking", _CHECK_AUTO * size)
