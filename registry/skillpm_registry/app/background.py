"""What runs beside the requests: the sequencer, and periodic upkeep."""

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from skillpm_registry.app.documents import write_documents
from skillpm_registry.app.logs import log
from skillpm_registry.app.service import Service, now_in_utc

MINUTE = 60.0
SWEEP = timedelta(hours=1)
REBUILD = timedelta(hours=24)
"""How often the order of search candidates is computed again."""
_JOIN = 30.0


class ServiceThreads:
    """The threads of a service. A failure is logged, and the work is tried again later."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._swept = self._rebuilt = now_in_utc()
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
        while not self._service.stop.is_set():
            now = now_in_utc()
            self._attempt("documents", partial(write_documents, self._service))
            if now - self._swept >= SWEEP:
                self._swept = now
                self._attempt("sweep", partial(self._service.backend.collector.sweep, now=now))
            if now - self._rebuilt >= REBUILD:
                self._rebuilt = now
                self._attempt("search", partial(self._service.backend.search.rebuild, now=now))
            self._service.stop.wait(MINUTE)

    def _attempt(self, what: str, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as problem:  # noqa: BLE001 - the thread must go on
            log("error", "background work failed", {"work": what}, problem)
