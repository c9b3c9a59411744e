"""`doctor`: what the sandbox of foreign work is on this system."""

from skillpm.flows.upkeep.doctor import FAIL, OK, WARN, DoctorCheck
from skillpm.sandbox.errors import ForeignWorkError
from skillpm.sandbox.probe import probe_sandbox
from skillpm.sandbox.report import SandboxReport

_NAME = "sandbox"
_HINT = "docs/security.md says what each layer needs: Landlock (Linux 5.13) or user namespaces"


def examine_sandbox() -> tuple[DoctorCheck, SandboxReport | None]:
    """Start a sandbox, and check that some layer provides each protection."""
    try:
        report = probe_sandbox()
    except ForeignWorkError as problem:
        return DoctorCheck(
            _NAME, FAIL, str(problem), "tokenizers of packs cannot be run here"
        ), None
    off = [f"{one.layer} ({one.reason})" for one in report.layers if not one.on]
    rest = f"; off: {', '.join(off)}" if off else ""
    if report.missing:
        missing = ", ".join(one.forbids for one in report.missing)
        message = f"foreign work is not kept from this: {missing}{rest}"
        return DoctorCheck(_NAME, WARN, message, _HINT), report
    names = ", ".join(one.layer for one in report.layers if one.on)
    return DoctorCheck(_NAME, OK, f"foreign work is confined by {names}{rest}"), report
