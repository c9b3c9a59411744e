"""Results that the API returns as its flows make them. A name is imported when it is first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skillpm.flows.audit.advisories import Advised
    from skillpm.flows.change.bundle import Bundled
    from skillpm.flows.change.configure import SettingsChange
    from skillpm.flows.change.init import Initialised
    from skillpm.flows.change.lock import LockResult
    from skillpm.flows.evaluate.ask import AnsweringChoice
    from skillpm.flows.evaluate.carried import ProbeResult
    from skillpm.flows.evaluate.compare import ComparedGraft, Comparison
    from skillpm.flows.evaluate.probe_report import Probed
    from skillpm.flows.evaluate.routed_texts import ProjectRouter, RoutedTexts
    from skillpm.flows.evaluate.tune import TunedWeights
    from skillpm.flows.graft.export import Exported
    from skillpm.flows.graft.peft import LowRankResult
    from skillpm.flows.inspect.listing import ComparedSet, Diff, History, Listing
    from skillpm.flows.inspect.outdated import Outdated, OutdatedReport
    from skillpm.flows.inspect.relations import Edges, Relations
    from skillpm.flows.pack.estimate_values import PackEstimate
    from skillpm.flows.pack.pack import Packed
    from skillpm.flows.packs.protocol import AnyPack
    from skillpm.flows.packs.publish import PublishedPack, ReleaseDetails
    from skillpm.flows.session.accounts import AccountReport
    from skillpm.flows.transfer.reporting import Transferred
    from skillpm.flows.upkeep.cache import CacheInfo, CacheVerified
    from skillpm.flows.upkeep.doctor import DoctorCheck
    from skillpm.flows.upkeep.gc import Collected

__all__ = [
    "AccountReport",
    "Advised",
    "AnsweringChoice",
    "AnyPack",
    "Bundled",
    "CacheInfo",
    "CacheVerified",
    "Collected",
    "ComparedGraft",
    "ComparedSet",
    "Comparison",
    "Diff",
    "DoctorCheck",
    "Edges",
    "Exported",
    "History",
    "Initialised",
    "Listing",
    "LockResult",
    "LowRankResult",
    "Outdated",
    "OutdatedReport",
    "PackEstimate",
    "Packed",
    "ProbeResult",
    "Probed",
    "ProjectRouter",
    "PublishedPack",
    "Relations",
    "ReleaseDetails",
    "RoutedTexts",
    "SettingsChange",
    "Transferred",
    "TunedWeights",
]

_MODULES = {
    "audit.advisories": ("Advised",),
    "change.bundle": ("Bundled",),
    "change.configure": ("SettingsChange",),
    "change.init": ("Initialised",),
    "change.lock": ("LockResult",),
    "evaluate.ask": ("AnsweringChoice",),
    "evaluate.carried": ("ProbeResult",),
    "evaluate.compare": ("ComparedGraft", "Comparison"),
    "evaluate.probe_report": ("Probed",),
    "evaluate.routed_texts": ("ProjectRouter", "RoutedTexts"),
    "evaluate.tune": ("TunedWeights",),
    "graft.export": ("Exported",),
    "graft.peft": ("LowRankResult",),
    "inspect.listing": ("ComparedSet", "Diff", "History", "Listing"),
    "inspect.outdated": ("Outdated", "OutdatedReport"),
    "inspect.relations": ("Edges", "Relations"),
    "pack.estimate_values": ("PackEstimate",),
    "pack.pack": ("Packed",),
    "packs.protocol": ("AnyPack",),
    "packs.publish": ("PublishedPack", "ReleaseDetails"),
    "session.accounts": ("AccountReport",),
    "transfer.reporting": ("Transferred",),
    "upkeep.cache": ("CacheInfo", "CacheVerified"),
    "upkeep.doctor": ("DoctorCheck",),
    "upkeep.gc": ("Collected",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a result's class when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module `skillpm.api.results` has no attribute `{name}`")
    return getattr(import_module(f"skillpm.flows.{_HOME[name]}"), name)
