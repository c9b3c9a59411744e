"""Requests for one upload session at the same time, on both databases."""

import threading
from datetime import datetime

from skillpm.errors import SkillpmError
from skillpm.spec.digests import Digest
from skillpm_registry.backend import Backend
from skillpm_registry.catalog.actor import LOCAL
from skillpm_registry.refusals import UnknownUploadError, UploadLostError


def test_session_that_several_requests_finish_becomes_a_blob(
    backend: Backend, now: datetime
) -> None:
    refused: list[SkillpmError] = []
    together = threading.Barrier(4)

    def finish(session: str) -> None:
        together.wait()
        try:
            backend.uploads.finish(session, LOCAL, now=now)
        except SkillpmError as problem:
            refused.append(problem)

    for number in range(8):
        data = bytes([number]) * 1000
        session = backend.uploads.begin(Digest.of(data), len(data), "acme", LOCAL, now=now)
        assert session is not None
        backend.uploads.append(session.id, 0, data, LOCAL, now=now)
        requests = [threading.Thread(target=finish, args=[session.id]) for _ in range(4)]
        for request in requests:
            request.start()
        for request in requests:
            request.join()
        assert backend.uploads.begin(Digest.of(data), len(data), "acme", LOCAL, now=now) is None

    assert [type(problem) for problem in refused if _is_unexpected(problem)] == []


def _is_unexpected(problem: SkillpmError) -> bool:
    """Whether a request was refused, although it was not another one that finished the session."""
    return not isinstance(problem, UnknownUploadError | UploadLostError)
