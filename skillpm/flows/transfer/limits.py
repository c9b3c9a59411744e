"""What exceeds the memory or `[budget]` is refused before a model is asked."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from skillpm.checkpoint.find_model import named_model
from skillpm.checkpoint.model import Checkpoint
from skillpm.errors import StateError, UsageError
from skillpm.flows.session.session import open_model
from skillpm.flows.transfer.plan import TransferPlan
from skillpm.running.folder import checked_config, device_memory, dtype_for, is_foreign, memory
from skillpm.running.generation import PROMPT_TOKENS
from skillpm.transfer.estimates import TransferEstimate
from skillpm.transfer.memory import (
    BYTES_PER_TOKEN,
    MemoryNeed,
    ModelSize,
    answers_need,
    generation_need,
    training_need,
)
from skillpm.transfer.prompts import Prompt

_TEMPLATE_TOKENS = 64
"""Tokens that a chat template adds to a prompt."""


def check_limits(plan: TransferPlan) -> None:
    """Raise `StateError` if the memory is too small, `UsageError` for too many requests."""
    device = plan.request.device
    where = "this machine" if device == "cpu" else f"`{device}`"
    check_memory(answers_of(plan), memory(), "this machine")
    check_memory(model_needs(plan), device_memory(device), where)
    _check_requests(plan)


def check_memory(needs: Iterable[MemoryNeed], available: int, where: str) -> None:
    """Raise `StateError` for a need of more than `available` bytes, with the arithmetic."""
    for need in needs:
        if need.size > available:
            raise StateError(
                f"{need.what} needs about {need.size / 1e9:,.1f} GB of memory ({need.arithmetic}); "
                f"{where} has {available / 1e9:,.1f} GB",
                hint=need.hint,
            )


def answers_of(plan: TransferPlan) -> Iterator[MemoryNeed]:
    """The memory of the answers of all sources together."""
    count = sum(plan.requests(source) for source in plan.sources)
    yield answers_need(count, plan.sampling.max_tokens)


def model_needs(plan: TransferPlan) -> Iterator[MemoryNeed]:
    """The memory of each model that answers, and of the training."""
    prompt = longest_prompt(plan)
    base, table = _size_of(plan.base), plan.document.sample
    longest = max(table.max_tokens, plan.document.evaluate.tokens)
    yield generation_need("the base", base, table.batch, min(prompt, PROMPT_TOKENS), longest)
    for source in plan.document.source:
        if source.model is not None:
            model = _size_of(open_model(named_model(source.model, plan.request.folder)))
            yield generation_need(
                f"`{source.name}`", model, table.batch, min(prompt, PROMPT_TOKENS), longest
            )
    yield training_need(base, *step_size(plan))


def step_size(plan: TransferPlan) -> tuple[int, int]:
    """The rows that run at once in the larger training, and the most tokens of each."""
    train = plan.document.train
    tokens = [plan.sampling.max_tokens, *map(_longest_text, plan.inputs.answers.values())]
    rows = min(train.micro, train.batch, len(plan.split.learnt) + len(plan.split.keep))
    return (2 if train.dpo.epochs else 1) * rows, min(
        train.max_tokens, longest_prompt(plan) + max(tokens)
    )


def longest_prompt(plan: TransferPlan) -> int:
    """The most tokens of a prompt."""
    split = plan.split
    prompts = (*split.learnt, *split.held_out, *split.keep, *split.general)
    return max(map(_prompt_bytes, prompts)) // BYTES_PER_TOKEN + _TEMPLATE_TOKENS


def check_hours(plan: TransferPlan, found: TransferEstimate) -> None:
    """Raise `UsageError` if the estimate exceeds `[budget] hours`, with the arithmetic."""
    hours = plan.document.budget.hours
    if hours is not None and found.seconds > 3600 * hours:
        raise UsageError(
            f"the transfer would take {found.seconds / 3600:.2f} hours; `[budget] hours` is "
            f"{hours:g}:\n{found.arithmetic}",
            hint="use fewer prompts, draws or epochs, or a larger budget",
        )


def check_spent(plan: TransferPlan, seconds: float) -> None:
    """Raise `UsageError` if the rehearsal alone took longer than `[budget] hours`."""
    hours = plan.document.budget.hours
    if hours is not None and seconds > 3600 * hours:
        raise UsageError(
            f"the rehearsal alone has taken {seconds / 3600:.2f} hours; `[budget] hours` is "
            f"{hours:g}",
            hint="use a smaller `batch` or `max_tokens` under [sample], a smaller `micro` under "
            "[train], or a larger budget",
        )


def _check_requests(plan: TransferPlan) -> None:
    limit, split = plan.document.budget.requests, plan.split
    count = plan.endpoint_requests
    if limit is not None and count > limit:
        raise UsageError(
            f"the transfer would send {count} requests to endpoints: "
            f"{plan.draws} draws for each of {len(split.learnt)} prompts, and "
            f"one for each of {len(split.held_out)} held-out items; `[budget] requests` is {limit}",
            hint="use fewer prompts or draws, or a larger budget",
        )


def _size_of(checkpoint: Checkpoint) -> ModelSize:
    """The sizes of a model; only the weights of one whose config transformers cannot read."""
    parameters = sum(spec.elements for spec in checkpoint.specs.values())
    stored = sum(spec.nbytes for spec in checkpoint.specs.values())
    if checkpoint.folder is None:
        return ModelSize(parameters, stored)
    try:
        config = checked_config(checkpoint.folder)
        value = dtype_for(config.dtype, stored, memory()).itemsize
        packed = getattr(config, "quantization_config", None) is not None
        weights = stored if packed else value * parameters
        return ModelSize.of(config.get_text_config(), parameters, weights, value)
    except BaseException as problem:
        if not is_foreign(problem):
            raise
        return ModelSize(parameters, stored)  # The error is reported when the model is loaded.


def _prompt_bytes(prompt: Prompt) -> int:
    return sum(len(message.content.encode(errors="replace")) for message in prompt.messages)


def _longest_text(answers: Mapping[str, Sequence[str]]) -> int:
    """The most tokens of an answer of a file."""
    lengths = (len(text.encode(errors="replace")) for texts in answers.values() for text in texts)
    return max(lengths, default=0) // BYTES_PER_TOKEN
