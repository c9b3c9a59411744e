"""A source that is a file of recorded answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skillpm.transfer.generated import Generated, SamplingSettings
from skillpm.transfer.sampling import Request


@dataclass(frozen=True)
class RecordedSource:
    """Answers by the id of their prompt. Prompts without one get an empty answer, cut off."""

    texts: Mapping[str, Sequence[str]]
    parallel: int = 1

    def answers(self, requests: Sequence[Request], sampling: SamplingSettings) -> list[Generated]:  # noqa: ARG002 - sources share a signature
        """The recorded draws of each prompt."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Generated:
        draws = self.texts.get(request.prompt.id, ())
        if request.draw >= len(draws):
            return Generated("", "length", 0)
        return Generated(draws[request.draw], "stop", None)
