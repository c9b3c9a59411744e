"""A worker that returns its requests, to find out which layers this system supports."""

from typing import Any

from skillpm.sandbox.policy import SandboxPolicy
from skillpm.sandbox.process import Sandbox
from skillpm.sandbox.report import SandboxReport
from skillpm.sandbox.worker import Handler

_SECONDS = 30.0


def worker() -> Handler:
    """A handler that returns the request as its answer."""
    return _echo


def _echo(request: dict[str, Any]) -> dict[str, Any]:
    return request


def probe_sandbox() -> SandboxReport:
    """Start a sandbox and report its layers.

    Takes as long as starting Python. Raises `ForeignWorkError` if the sandbox cannot be started.
    """
    sandbox = Sandbox(SandboxPolicy("skillpm.sandbox.self_check"))
    try:
        session = sandbox.open({}, _SECONDS)
        session.ask({})
        return session.report
    finally:
        sandbox.close()
