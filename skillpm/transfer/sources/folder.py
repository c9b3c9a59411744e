"""A source that is a model folder: a causal LM, or an encoder-decoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from skillpm.errors import GraftError
from skillpm.running.folder import (
    UNRUNNABLE,
    checked_config,
    is_foreign,
    load_weights,
    move_to_device,
    not_runnable,
    reason_of,
    refuse_adapter,
)
from skillpm.running.generation import ChatQuestion, Draw, answer_batch
from skillpm.running.runner import Runner
from skillpm.transfer.generated import Generated, SamplingSettings
from skillpm.transfer.sampling import Request, messages_of


@dataclass
class FolderSource:
    """A loaded model that answers in batches."""

    runner: Runner
    folder: Path
    parallel: int = 1

    @classmethod
    def load(cls, folder: Path, device: str) -> "FolderSource":
        """Load the model's safetensors. Raises `GraftError` if the model cannot be run."""
        refuse_adapter(folder)
        try:
            config = checked_config(folder)
        except BaseException as problem:
            if not is_foreign(problem):
                raise
            raise not_runnable(folder, problem, "a model folder needs config.json") from problem
        if config.is_encoder_decoder:
            return cls(_load_encoder_decoder(folder, config, device), folder)
        runner = Runner.load(folder, device)
        if not runner.causal:
            raise GraftError(
                f"`{folder}` does not generate text",
                hint="name a causal LM or an encoder-decoder",
            )
        return cls(runner, folder)

    def answers(self, requests: Sequence[Request], sampling: SamplingSettings) -> list[Generated]:
        """Answer a batch with the seed of its first request.

        Raises `GraftError` if the model fails, for example because its weights are NaN.
        """
        questions = [ChatQuestion(messages_of(each), sampling.max_tokens) for each in requests]
        draw = None
        if sampling.temperature:
            draw = Draw(sampling.temperature, sampling.top_p, requests[0].seed)
        try:
            answers = answer_batch(self.runner, questions, draw)
        except UNRUNNABLE as problem:
            raise GraftError(
                f"the model in `{self.folder}` cannot answer: {reason_of(problem)}",
                hint="test the model with transformers; a smaller `batch` under [sample] needs "
                "less memory",
            ) from problem
        return [
            Generated(found.text, "length" if found.cut_off else "stop", found.tokens)
            for found in answers
        ]


def _load_encoder_decoder(folder: Path, config: Any, device: str) -> Runner:
    try:
        model = load_weights(AutoModelForSeq2SeqLM, config, folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except BaseException as problem:
        if not is_foreign(problem):
            raise
        hint = "a model folder needs config.json and the tokenizer's files"
        raise not_runnable(folder, problem, hint) from problem
    return Runner(move_to_device(model.eval(), device), tokenizer, False, device)
