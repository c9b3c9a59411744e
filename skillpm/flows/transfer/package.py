"""Stage 7: pack the kept model, with probes, a router signature and its provenance."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from skillpm.checks.kinds import to_plain
from skillpm.checks.probes import check_problems
from skillpm.delta.encoding.effort import NORMAL
from skillpm.delta.encoding.schemes import Lossless, Scheme
from skillpm.errors import IntegrityError
from skillpm.flows.evaluate.attach_probes import ProbeFile, attach_probes
from skillpm.flows.evaluate.attach_router import attach_signature
from skillpm.flows.pack.attachments import Attach, Attachment
from skillpm.flows.pack.calibrate import calibrate
from skillpm.flows.pack.fit_auto import fit
from skillpm.flows.pack.model_pair import ModelPair, PackRequest
from skillpm.flows.pack.pack import Packed, pack
from skillpm.flows.pack.scheme import EncodingTarget
from skillpm.flows.session.session import Session
from skillpm.flows.transfer.run import BASE, ITEMS, TransferRun
from skillpm.flows.transfer.train import TrainedStage
from skillpm.routing.signature import FEWEST
from skillpm.running.runner import Runner
from skillpm.spec import json
from skillpm.spec.budget import Budget
from skillpm.spec.chat import to_plain as plain_chat
from skillpm.spec.check_kinds import TRAVELLING
from skillpm.spec.probe_items import ANSWER_TOKENS, TEXT_LIMIT
from skillpm.spec.probes import parse_probes
from skillpm.spec.transfer_sources import METHOD
from skillpm.transfer.estimates import GENERAL_PROBES, PROBE_ITEMS
from skillpm.transfer.evaluation import chat_text
from skillpm.transfer.general import general_questions
from skillpm.transfer.prompts import Prompt
from skillpm.transfer.selection import Rows
from skillpm.transfer.stages import Stage

STEADY = frozenset({"token_loss"})
_ROUTER, _BACKGROUND, _CALIBRATION = "router.jsonl", "background.jsonl", "calibration.jsonl"


@dataclass(frozen=True)
class Learnt:
    """The kept model, the rows that it learnt, and the FLOPs of all trainings."""

    best: TrainedStage
    rows: Rows
    flops: float


def package(run: TransferRun, learnt: Learnt) -> Packed:
    """Write the pack. Raises `IntegrityError` if the base changed, and the errors of `pack`."""
    plan, target = run.plan, run.plan.document.target
    is_dpo = learnt.best.stage is Stage.DPO
    request = PackRequest(
        base=plan.base_folder,
        tuned=learnt.best.tuned,
        skill=target.skill,
        version=target.version,
        output=plan.request.path,
        method=f"{METHOD}sft+dpo" if is_dpo else f"{METHOD}sft",
        sources=tuple(source.provenance for source in plan.sources),
        data=_data(run),
        flops=learnt.flops,
    )
    attach: list[Attach] = [partial(_check_base, plan.base.identity.root)]
    attach += [*_probes(run, learnt.best), *_router(run)]
    return pack(run.session, request, _scheme(run, learnt.rows), attach)


def _check_base(root: object, _session: Session, models: ModelPair, /) -> Attachment:
    """Attach nothing. Raises `IntegrityError` if the base is not the one that was trained."""
    found = models.reference.base.identity.root
    if found != root:
        raise IntegrityError(
            f"the base changed during the transfer: it was `{root}`, and is now `{found}`",
            hint="restore the base, or run the transfer again",
        )
    return Attachment()


def _data(run: TransferRun) -> tuple[str, ...]:
    files, digests = run.plan.document.prompts, run.plan.inputs.digests
    named = (
        ("prompts", files.file), ("keep", files.keep), ("held-out", files.held_out),
        ("probes", files.probes),
    )  # fmt: skip
    return tuple(f"{what} {digests[path]}" for what, path in named if path)


def _scheme(run: TransferRun, rows: Rows) -> Scheme | EncodingTarget:
    """Lossless; or the size that the user wants, with errors weighted on the SFT rows."""
    budget = run.plan.document.pack.budget
    if budget is None:
        return Lossless(NORMAL)
    texts = (
        "\n\n".join(message["content"] for message in (*row["prompt"], *row["completion"]))
        for row in rows.sft
    )
    path = _write_texts(run, _CALIBRATION, texts)
    device = run.plan.request.device
    return EncodingTarget(
        fit, Budget.parse(budget), None, partial(calibrate, path=path, device=device), device
    )


def _router(run: TransferRun) -> Iterator[Attach]:
    """The router's signature, from the prompts; its background are the keep prompts."""
    split = run.plan.split
    examples = _texts((*split.learnt, *split.held_out))
    if len(set(examples)) < FEWEST:
        run.say(f"no router signature: {len(set(examples))} prompts, fewer than {FEWEST}")
        return
    background = _texts((*split.keep, *split.general))
    yield partial(
        attach_signature,
        examples=_write_texts(run, _ROUTER, examples),
        background=_write_texts(run, _BACKGROUND, background),
        device=run.plan.request.device,
    )


def _texts(prompts: Sequence[Prompt]) -> list[str]:
    texts = ("\n\n".join(each.content for each in prompt.messages) for prompt in prompts)
    return [text for text in texts if text.strip()]


def _write_texts(run: TransferRun, name: str, texts: "Sequence[str] | Iterator[str]") -> Path:
    lines = (json.canonical({"text": text}) + b"\n" for text in texts)
    run.workspace.write(name, b"".join(lines))
    return run.workspace.path / name


def _probes(run: TransferRun, best: TrainedStage) -> Iterator[Attach]:
    """The user's probes, or general answers of the base and the held-out items, if they may travel.

    A pack is read by others, so it has no text of the user that the user did not put there.
    """
    inputs = run.plan.inputs
    data = inputs.probes_data or b"".join([*_held_out_lines(run, best), *_general_lines(run)])
    if not data:
        run.say("the pack has no probes")
        return
    probes = inputs.probes or parse_probes(data, "the probes of the transfer", check_problems)
    steady = frozenset[str]() if inputs.probes else STEADY
    device = run.plan.request.device
    lossy = run.plan.document.pack.budget is not None
    yield partial(
        attach_probes, file=ProbeFile(probes, data), device=device, lossy=lossy, steady=steady
    )


def _held_out_lines(run: TransferRun, best: TrainedStage) -> list[bytes]:
    """The held-out items as probes if the user wants that; notes say why there are none."""
    if run.plan.document.pack.probes is None:
        run.say(
            "the pack has no probe of the skill, because prompts are private; "
            '`probes = "held-out"` under [pack], or `--held-out-probes`, puts held-out prompts and '
            "their checks into it"
        )
        return []
    lines = list(_judged_lines(run, best))
    if not lines:
        run.say(
            "the pack has no probe of the skill: no check of a held-out prompt can be in a pack"
        )
    return lines


def _judged_lines(run: TransferRun, best: TrainedStage) -> Iterator[bytes]:
    """Held-out items with checks that may travel. An answer may be twice as long as it was."""
    plan = run.plan
    task = run.model_task(best.name, ITEMS, plan.split.held_out, plan.of_items, best.digest)
    recorded = run.ask(run.opener(best.tuned), task, f"answers of {best.name}")
    most = max((answer.tokens for answer in recorded), default=1)
    tokens = min(ANSWER_TOKENS, max(16, 2 * most))
    travelling = [
        (prompt, prompt.check)
        for prompt in plan.split.held_out
        if prompt.check is not None
        and prompt.check.kind in TRAVELLING
        and sum(len(message.content) + 1 for message in prompt.messages) <= TEXT_LIMIT
    ]
    for prompt, check in travelling[:PROBE_ITEMS]:
        item = {
            "metric": "judged",
            "messages": plain_chat(list(prompt.messages)),
            "check": to_plain(check),
            "max_tokens": tokens,
        }
        yield json.canonical(item) + b"\n"


def _general_lines(run: TransferRun) -> Iterator[bytes]:
    """The base's answers to general questions, whose likelihood should stay as it is."""
    prompts = general_questions(GENERAL_PROBES)
    task = run.model_task(BASE, "probes", prompts, run.plan.of_general)
    opened = run.opener(run.plan.base_folder)
    answers = {each.id: each.text for each in run.ask(opened, task, "answers of the base")}
    runner: Runner = opened().runner  # type: ignore[attr-defined]
    texts = (chat_text(runner, prompt, answers[prompt.id]) for prompt in prompts)
    for text in texts:
        if text is not None:
            yield json.canonical({"metric": "token_loss", "text": text}) + b"\n"
