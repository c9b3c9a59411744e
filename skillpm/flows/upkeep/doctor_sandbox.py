"""`doctor`: check the sandbox in which skillpm handles untrusted files on this system."""

from skillpm.flows.upkeep.doctor import FAIL, OK, WARN, DoctorCheck
from skillpm.sandbox.errors import ForeignWorkError
from skillpm.sandbox.report import SandboxReport
from skillpm.sandbox.self_check import probe_sandbox

_NAME = "sandbox"
_HINT = "the sandbox needs Landlock (Linux 5.13) or user namespaces; see docs/security.md"


def examine_sandbox() -> tuple[DoctorCheck, SandboxReport | None]:
    """Start a sandbox, and check that at least one of its layers provides each protection."""
    try:
        report = probe_sandbox()
    except ForeignWorkError as problem:
        return DoctorCheck(
            _NAME, FAIL, str(problem), "tokenizers of packs cannot be run here"
        ), None
    off = [f"{layer.layer} ({layer.reason})" for layer in report.layers if not layer.on]
    rest = f"; off: {', '.join(off)}" if off else ""
    if report.missing:
        missing = ", ".join(protection.forbids for protection in report.missing)
        message = f"the sandbox does not prevent: {missing}{rest}"
        return DoctorCheck(_NAME, WARN, message, _HINT), report
    names = ", ".join(layer.layer for layer in report.layers if layer.on)
    return DoctorCheck(
        _NAME, OK, f"untrusted files are handled in a sandbox: {names}{rest}"
    ), report
