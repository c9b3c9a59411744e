"""The layers of a sandbox on this system, and the protections that they provide together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class SandboxLayer(StrEnum):
    """A mechanism of the operating system that confines a worker."""

    ENVIRONMENT = "environment"
    """No variables of the user, and no open files except the three pipes."""
    USER_NAMESPACE = "user-namespace"
    NETWORK_NAMESPACE = "network-namespace"
    PID_NAMESPACE = "pid-namespace"
    IPC_NAMESPACE = "ipc-namespace"
    MOUNT_NAMESPACE = "mount-namespace"
    ORDINARY_USER = "ordinary-user"
    """A worker that root starts runs as an unprivileged user."""
    PRIVILEGES = "privileges"
    """No capabilities, no new privileges, no tracing; the worker ends with its parent."""
    LIMITS = "limits"
    LANDLOCK = "landlock"
    SECCOMP = "seccomp"
    SEATBELT = "seatbelt"


class Protection(StrEnum):
    """An action that the sandbox prevents."""

    READ_FILES = "read-files"
    """Reading files of the user, and information on the user's processes in /proc."""
    WRITE_FILES = "write-files"
    NETWORK = "network"
    PROGRAMS = "programs"
    PROCESSES = "processes"
    """Tracing other processes or sending signals to them."""
    RESOURCES = "resources"

    @property
    def forbids(self) -> str:
        """The prevented action, as a verb and its object: `start programs`."""
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
"""The layers that provide each protection. One active layer is enough."""


@dataclass(frozen=True)
class LayerState:
    """Whether a layer is on. `reason` is a detail (a version) if it is on, else why it is off."""

    layer: SandboxLayer
    on: bool
    reason: str


@dataclass(frozen=True)
class SandboxReport:
    """The state of every layer that was tried, in the order of application."""

    layers: tuple[LayerState, ...]

    @property
    def active(self) -> frozenset[SandboxLayer]:
        """The layers that are on."""
        return frozenset(state.layer for state in self.layers if state.on)

    def layers_for(self, protection: Protection) -> tuple[SandboxLayer, ...]:
        """The active layers that provide a protection, sorted; may be empty."""
        return tuple(sorted(_LAYERS_OF[protection] & self.active))

    @property
    def missing(self) -> tuple[Protection, ...]:
        """The protections that no active layer provides."""
        return tuple(protection for protection in Protection if not self.layers_for(protection))

    def to_dict(self) -> dict[str, Any]:
        """The report as a JSON object with `layers` and `protections`."""
        return {
            "layers": [
                {"layer": str(state.layer), "on": state.on, "reason": state.reason}
                for state in self.layers
            ],
            "protections": {
                str(protection): [str(layer) for layer in self.layers_for(protection)]
                for protection in Protection
            },
        }

    @classmethod
    def from_layers(cls, layers: Iterable[Mapping[str, Any]]) -> "SandboxReport":
        """The report from the `layers` of `to_dict`."""
        return cls(
            tuple(
                LayerState(SandboxLayer(state["layer"]), bool(state["on"]), str(state["reason"]))
                for state in layers
            )
        )
