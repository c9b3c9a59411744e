"""The store and the caches in `SKILLPM_HOME`, and the state of this machine."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.api.client import Client

if TYPE_CHECKING:
    from skillpm.api.results import CacheInfo, CacheVerified, Collected, DoctorCheck


@dataclass(frozen=True)
class GcOptions:
    """What `collect_garbage` keeps. None leaves a limit to the default.

    `keep` is a number of generations, `older_than` their age in days, `grace` the age in hours up
    to which blobs are kept. Nothing is kept for the projects in `forget`. `transfers` is the age in
    days from which answers and weights of unused transfers are removed; None keeps all of them.
    """

    keep: int | None = None
    older_than: float | None = None
    grace: float = 24.0
    forget: tuple[Path, ...] = ()
    transfers: float | None = None


def collect_garbage(client: Client, options: GcOptions, *, dry_run: bool = False) -> "Collected":
    """Remove old generations, and the blobs that no kept generation and no lock needs."""
    from skillpm.environment.prune import Keeping
    from skillpm.flows.upkeep.gc import GcRequest, collect

    keeping = Keeping(options.keep, options.older_than)
    request = GcRequest(keeping, options.grace, dry_run, options.forget, options.transfers)
    return collect(client.session, request)


def pruned_beyond_default(client: Client, options: GcOptions) -> list[int]:
    """The numbers of the generations that these options prune and the defaults keep, ascending."""
    by_default = replace(options, keep=None, older_than=None)
    extra = set(collect_garbage(client, options, dry_run=True).pruned)
    extra -= set(collect_garbage(client, by_default, dry_run=True).pruned)
    return sorted(pruned.number for pruned in extra)


def cache_info(client: Client) -> "CacheInfo":
    """The sizes of store, caches and releases. Writes nothing."""
    from skillpm.flows.upkeep.cache import cache_info as flow

    return flow(client.session)


def verify_cache(client: Client, *, repair: bool = False) -> "CacheVerified":
    """Hash every blob of the store; with `repair`, fetch damaged blobs again."""
    from skillpm.flows.upkeep.cache import cache_verify

    return cache_verify(client.session, repair=repair)


def clean_cache(client: Client) -> int:
    """Remove cached leaves and measurements; return the bytes removed."""
    from skillpm.flows.upkeep.cache import cache_clean

    return cache_clean(client.session)


@dataclass(frozen=True)
class Diagnosis:
    """The checks of `doctor`. `sandbox` has the layers of the sandbox, if it could be examined."""

    checks: "tuple[DoctorCheck, ...]"
    sandbox: Mapping[str, object] | None

    @property
    def failed(self) -> bool:
        """Whether a check failed."""
        return any(check.status == "fail" for check in self.checks)


def diagnose(client: Client) -> Diagnosis:
    """Check installation, libraries, disk, project, lock, base, registries, store and sandbox."""
    from skillpm.flows.upkeep.doctor import examine
    from skillpm.flows.upkeep.doctor_installation import examine_command, examine_installation
    from skillpm.flows.upkeep.doctor_sandbox import examine_sandbox

    sandbox, report = examine_sandbox()
    checks = (*examine_installation(), *examine_command(), *examine(client.session), sandbox)
    return Diagnosis(checks, report.to_dict() if report else None)
