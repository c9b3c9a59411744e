"""skillpm: the package manager for model skills.

`skillpm.open_project(".")` opens a project; `pack`, `inspect`, `verify` and `identify` need none.
Everything raises `SkillpmError`. Importing skillpm imports nothing else until a name is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from skillpm.version import __version__

if TYPE_CHECKING:
    from skillpm.api.answers import Answer
    from skillpm.api.audit_values import AuditFinding, AuditReport
    from skillpm.api.deprecated import Workspace, open  # noqa: A004 - the name of version 0.1
    from skillpm.api.model_values import ModelIdentity, Pack, VerifiedPack
    from skillpm.api.models import estimate_pack, identify, inspect, pack, verify
    from skillpm.api.project import Project, init_project, open_project
    from skillpm.api.values import Change, GraftResult, InstalledSkill, RouteDecision
    from skillpm.errors import (
        AuthError,
        GraftError,
        IntegrityError,
        NotFoundError,
        RegistryError,
        ResolutionError,
        SkillpmError,
        SpecError,
        StateError,
        UsageError,
    )

__all__ = [
    "Answer",
    "AuditFinding",
    "AuditReport",
    "AuthError",
    "Change",
    "GraftError",
    "GraftResult",
    "InstalledSkill",
    "IntegrityError",
    "ModelIdentity",
    "NotFoundError",
    "Pack",
    "Project",
    "RegistryError",
    "ResolutionError",
    "RouteDecision",
    "SkillpmError",
    "SpecError",
    "StateError",
    "UsageError",
    "VerifiedPack",
    "Workspace",
    "__version__",
    "estimate_pack",
    "identify",
    "init_project",
    "inspect",
    "open",
    "open_project",
    "pack",
    "verify",
]

_MODULES = {
    "skillpm.api.answers": ("Answer",),
    "skillpm.api.audit_values": ("AuditFinding", "AuditReport"),
    "skillpm.api.deprecated": ("Workspace", "open"),
    "skillpm.api.model_values": ("ModelIdentity", "Pack", "VerifiedPack"),
    "skillpm.api.models": ("estimate_pack", "identify", "inspect", "pack", "verify"),
    "skillpm.api.project": ("Project", "init_project", "open_project"),
    "skillpm.api.values": ("Change", "GraftResult", "InstalledSkill", "RouteDecision"),
    "skillpm.errors": (
        "AuthError", "GraftError", "IntegrityError", "NotFoundError", "RegistryError",
        "ResolutionError", "SkillpmError", "SpecError", "StateError", "UsageError",
    ),
}  # fmt: skip
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module `skillpm` has no attribute `{name}`")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
