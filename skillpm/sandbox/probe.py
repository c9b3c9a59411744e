"""A worker that gives back what it is asked: it shows what the sandbox is on this system."""

from typing import Any

from skillpm.sandbox.policy import SandboxPolicy
from skillpm.sandbox.process import Sandbox
from skillpm.sandbox.report import SandboxReport
from skillpm.sandbox.worker import Handler

_SECONDS = 30.0


def worker() -> Handler:
    """A handler that answers with the request."""
    return _echo


def _echo(request: dict[str, Any]) -> dict[str, Any]:
    return request


def probe_sandbox() -> SandboxReport:
    """Start a sandbox, and report the layers that it was confined by.

    Costs a start of Python. Raises `ForeignWorkError` where no sandbox can be started.
    """
    sandbox = Sandbox(SandboxPolicy("skillpm.sandbox.probe"))
    try:
        session = sandbox.open({}, _SECONDS)
        session.ask({})
        return session.report
    finally:
        sandbox.close()
