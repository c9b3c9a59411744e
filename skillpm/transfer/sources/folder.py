"""A source that is a model folder: a causal LM of any architecture and tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from skillpm.running.generation import Draw, Question, answer_batch
from skillpm.running.runner import Runner
from skillpm.transfer.generated import Generated, Sampling
from skillpm.transfer.sampling import Request, messages_of


@dataclass
class FolderSource:
    """A loaded model that answers in batches."""

    runner: Runner
    batch: int
    parallel: int = 1

    @classmethod
    def load(cls, folder: Path, device: str, batch: int) -> "FolderSource":
        """Load the model's safetensors. Raises `GraftError` if the model cannot be run."""
        return cls(Runner.load(folder, device), batch)

    def answers(self, requests: Sequence[Request], sampling: Sampling) -> list[Generated]:
        """Answer a batch with the seed of its first request."""
        questions = [Question(messages_of(each), sampling.max_tokens) for each in requests]
        draw = None
        if sampling.temperature:
            draw = Draw(sampling.temperature, sampling.top_p, requests[0].seed)
        return [
            Generated(found.text, "length" if found.cut_off else "stop", found.tokens)
            for found in answer_batch(self.runner, questions, draw)
        ]
