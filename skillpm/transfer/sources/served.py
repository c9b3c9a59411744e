"""A source that is a model behind an endpoint: several requests are in flight at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from skillpm.transfer.generated import Generated, SamplingSettings
from skillpm.transfer.sampling import Request, messages_of
from skillpm.transfer.sources.endpoint import Endpoint

PARALLEL = 8


@dataclass(frozen=True)
class ServedSource:
    """Asks an endpoint for one answer a request."""

    endpoint: Endpoint
    parallel: int = PARALLEL

    def answers(self, requests: Sequence[Request], sampling: SamplingSettings) -> list[Generated]:
        """Answer the requests of a batch one after another."""
        return [
            self.endpoint.answer(messages_of(request), sampling, request.seed)
            for request in requests
        ]
