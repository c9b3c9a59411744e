"""The class `Client`: options, callbacks, and a session that opens when it is first used."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from math import inf
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from skillpm.api.callbacks import Callbacks
from skillpm.api.options import Options
from skillpm.api.session import open_session

if TYPE_CHECKING:
    from skillpm.flows.session.session import Session


class Closing(ABC):
    """A context manager that is closed at the end of the block."""

    @abstractmethod
    def close(self) -> None:
        """Release what is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _problem: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()


class Client(Closing):
    """The first argument of the API's functions, and what a `Project` is made of.

    `timeout` limits a dependency resolution, in seconds. Opening a client reads no file; the
    session is opened by the first function that needs it. Use it as a context manager, or call
    `close`.
    """

    def __init__(
        self, options: Options, callbacks: Callbacks | None = None, *, timeout: float = inf
    ) -> None:
        self.options = options
        self._callbacks = callbacks or Callbacks()
        self._timeout = timeout
        self._closing = ExitStack()

    @property
    def folder(self) -> Path:
        """The project's folder, absolute."""
        return self.options.project_folder

    @cached_property
    def session(self) -> "Session":
        """The session that flows take.

        Raises `UsageError` for bad options, `SpecError` for bad config files.
        """
        return open_session(
            self.options,
            self._closing.callback,
            callbacks=self._callbacks,
            timeout=self._timeout,
        )

    def close(self) -> None:
        """Close registries and release the store. `gc` in other processes waits for this."""
        self._closing.close()


@contextmanager
def client_or_default(client: Client | None) -> Iterator[Client]:
    """The given client, which stays open, or one for the working folder, which is closed."""
    if client is not None:
        yield client
        return
    with Client(Options(folder=None)) as own:
        yield own
