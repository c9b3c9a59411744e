"""What a sandbox was confined by here: each layer, and what the layers prevent together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class SandboxLayer(StrEnum):
    """One mechanism of the operating system."""

    ENVIRONMENT = "environment"
    """No variables of the user, no open files but the three pipes."""
    USER_NAMESPACE = "user-namespace"
    NETWORK_NAMESPACE = "network-namespace"
    PID_NAMESPACE = "pid-namespace"
    IPC_NAMESPACE = "ipc-namespace"
    MOUNT_NAMESPACE = "mount-namespace"
    ORDINARY_USER = "ordinary-user"
    """A process that was started by root runs as `nobody`."""
    PRIVILEGES = "privileges"
    """No capabilities, no new privileges, not to be traced, ends with its parent."""
    LIMITS = "limits"
    LANDLOCK = "landlock"
    SECCOMP = "seccomp"
    SEATBELT = "seatbelt"


class Protection(StrEnum):
    """Something that foreign work must not do."""

    READ_FILES = "read-files"
    """Those of the user, and what /proc shows of the user's processes."""
    WRITE_FILES = "write-files"
    NETWORK = "network"
    PROGRAMS = "programs"
    PROCESSES = "processes"
    """Trace or signal them."""
    RESOURCES = "resources"

    @property
    def forbids(self) -> str:
        """What is prevented, as a verb and its object."""
        return _FORBIDS[self]


_FORBIDS: Mapping[Protection, str] = {
    Protection.READ_FILES: "read files of the user",
    Protection.WRITE_FILES: "write files outside its folder",
    Protection.NETWORK: "use the network",
    Protection.PROGRAMS: "start programs",
    Protection.PROCESSES: "trace or signal other processes",
    Protection.RESOURCES: "take memory and processor time without bound",
}


_LAYERS_OF: Mapping[Protection, frozenset[SandboxLayer]] = {
    Protection.READ_FILES: frozenset({
        SandboxLayer.MOUNT_NAMESPACE, SandboxLayer.LANDLOCK, SandboxLayer.SEATBELT,
    }),
    Protection.WRITE_FILES: frozenset({
        SandboxLayer.MOUNT_NAMESPACE, SandboxLayer.LANDLOCK, SandboxLayer.SECCOMP,
        SandboxLayer.SEATBELT,
    }),
    Protection.NETWORK: frozenset({
        SandboxLayer.NETWORK_NAMESPACE, SandboxLayer.SECCOMP, SandboxLayer.SEATBELT,
    }),
    Protection.PROGRAMS: frozenset({
        SandboxLayer.SECCOMP, SandboxLayer.LANDLOCK, SandboxLayer.SEATBELT,
    }),
    Protection.PROCESSES: frozenset({
        SandboxLayer.PID_NAMESPACE, SandboxLayer.SECCOMP, SandboxLayer.SEATBELT,
    }),
    Protection.RESOURCES: frozenset({SandboxLayer.LIMITS}),
}  # fmt: skip
"""A protection holds if one of its layers is on."""


@dataclass(frozen=True)
class LayerState:
    """Whether a layer is on, and the version that is on or the reason that it is off."""

    layer: SandboxLayer
    on: bool
    reason: str


@dataclass(frozen=True)
class SandboxReport:
    """Every layer that was tried, in the order of application."""

    layers: tuple[LayerState, ...]

    @property
    def active(self) -> frozenset[SandboxLayer]:
        """The layers that are on."""
        return frozenset(state.layer for state in self.layers if state.on)

    def layers_for(self, protection: Protection) -> tuple[SandboxLayer, ...]:
        """The active layers that provide a protection; empty if nothing does."""
        return tuple(sorted(_LAYERS_OF[protection] & self.active))

    @property
    def missing(self) -> tuple[Protection, ...]:
        """The protections that no active layer provides."""
        return tuple(one for one in Protection if not self.layers_for(one))

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON: `layers` and `protections`."""
        return {
            "layers": [
                {"layer": str(state.layer), "on": state.on, "reason": state.reason}
                for state in self.layers
            ],
            "protections": {
                str(one): [str(layer) for layer in self.layers_for(one)] for one in Protection
            },
        }

    @classmethod
    def from_layers(cls, layers: Iterable[Mapping[str, Any]]) -> "SandboxReport":
        """The report from the `layers` of `to_dict`."""
        return cls(
            tuple(
                LayerState(SandboxLayer(one["layer"]), bool(one["on"]), str(one["reason"]))
                for one in layers
            )
        )
