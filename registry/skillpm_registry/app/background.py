"""What runs beside the requests: the sequencer, and periodic upkeep."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from secrets import token_hex

from skillpm_registry.app.documents import write_documents
from skillpm_registry.app.logs import log
from skillpm_registry.app.service import Service, now_in_utc
from skillpm_registry.backend import Backend
from skillpm_registry.publishing.garbage import Lease
from skillpm_registry.publishing.tree import find_missing_documents

MINUTE = 60.0
SWEEP = timedelta(hours=1)
REBUILD = timedelta(hours=24)
"""How often the order of search candidates is computed again."""
_JOIN = 30.0


def rebuild_search(backend: Backend, now: datetime) -> bool:
    """Order the candidates of search again, unless a service has done so within a day.

    The database keeps the time, so a service that is restarted often rebuilds once a day too.
    """
    due = Lease(backend.database, token_hex(8), REBUILD, "search")
    if not due.take(now):
        return False
    try:
        backend.search.rebuild(now=now)
    except BaseException:
        due.release()
        raise
    return True


class ServiceThreads:
    """The threads of a service. A failure is logged, and the work is tried again later."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._swept = now_in_utc()
        names = {"sequencer": self._sequence, "upkeep": self._upkeep}
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True) for name, work in names.items()
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask the threads to end, and wait for what they are doing."""
        self._service.stop.set()
        for thread in self._threads:
            thread.join(_JOIN)

    def _sequence(self) -> None:
        stop = self._service.stop
        while not stop.is_set():
            self._attempt("sequencer", lambda: self._service.backend.sequencer.run(stop))
            stop.wait(1)

    def _upkeep(self) -> None:
        backend = self._service.backend
        self._attempt("tree", partial(find_missing_documents, backend.documents, backend.tree))
        while not self._service.stop.is_set():
            now = now_in_utc()
            self._attempt("documents", partial(write_documents, self._service))
            if now - self._swept >= SWEEP:
                self._swept = now
                self._attempt("sweep", partial(backend.collector.sweep, now=now))
            self._attempt("search", partial(rebuild_search, backend, now))
            self._service.stop.wait(MINUTE)

    def _attempt(self, what: str, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as problem:  # noqa: BLE001 - the thread must go on
            log("error", "background work failed", {"work": what}, problem)
