"""The layers put on, one after another, by the process that is about to do foreign work."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from skillpm.sandbox.layers.landlock import restrict_files
from skillpm.sandbox.layers.limits import address_space, set_limits
from skillpm.sandbox.layers.mounts import (
    enter_private_files,
    leave_private_files,
    write_files,
)
from skillpm.sandbox.layers.namespaces import (
    enter_namespace,
    enter_user_namespace,
    is_administrator,
)
from skillpm.sandbox.layers.privileges import become_nobody, give_up_privileges
from skillpm.sandbox.layers.seatbelt import enter_seatbelt
from skillpm.sandbox.layers.seccomp import filter_calls
from skillpm.sandbox.policy import SandboxPolicy
from skillpm.sandbox.report import LayerState, SandboxLayer, SandboxReport


@dataclass
class Confinement:
    """One process on its way into the sandbox; `states` is the report so far."""

    policy: SandboxPolicy
    readable: list[str]
    states: dict[SandboxLayer, LayerState] = field(default_factory=dict)

    @property
    def report(self) -> SandboxReport:
        """What is on so far."""
        return SandboxReport(tuple(self.states.values()))

    def is_on(self, layer: SandboxLayer) -> bool:
        """Whether a layer has been put on."""
        return layer in self.report.active

    def separate(self) -> None:
        """Enter new namespaces; that of processes holds for the next child of this process."""
        self._note(SandboxLayer.ENVIRONMENT, lambda: "three pipes, no variables of the user")
        if is_administrator():
            self._set(SandboxLayer.USER_NAMESPACE, on=False, reason="not needed by root")
        else:
            self._note(SandboxLayer.USER_NAMESPACE, enter_user_namespace)
        for layer in (
            SandboxLayer.NETWORK_NAMESPACE,
            SandboxLayer.IPC_NAMESPACE,
            SandboxLayer.MOUNT_NAMESPACE,
            SandboxLayer.PID_NAMESPACE,
        ):
            self._note(layer, partial(enter_namespace, layer))

    def enclose(self, folder: Path, files: Mapping[str, bytes]) -> None:
        """Put the files into the worker's folder, go there, and put on every other layer.

        Files that are open stay open: see `close_files`.
        """
        writable = self.policy.limits.folder_bytes
        mapped = address_space()
        if self.is_on(SandboxLayer.MOUNT_NAMESPACE):
            self._note(
                SandboxLayer.MOUNT_NAMESPACE,
                lambda: enter_private_files(folder, self.readable, files, writable),
            )
        if not self.is_on(SandboxLayer.MOUNT_NAMESPACE):
            leave_private_files(folder)
            write_files(folder, files)
            os.chdir(folder)
        if os.geteuid() == 0:
            inside = self.is_on(SandboxLayer.MOUNT_NAMESPACE)
            own = None if inside else folder
            self._note(SandboxLayer.ORDINARY_USER, lambda: become_nobody(self._needed_files(), own))
        self._note(SandboxLayer.LIMITS, lambda: set_limits(self.policy.limits, mapped))
        if sys.platform == "linux":
            self._note(SandboxLayer.PRIVILEGES, give_up_privileges)
        self._restrict(str(Path.cwd()), writable=bool(writable))

    def _needed_files(self) -> list[str]:
        modules = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
        return [*self.readable, *filter(os.path.isabs, filter(None, modules))]

    def _restrict(self, folder: str, *, writable: bool) -> None:
        if sys.platform == "darwin":
            self._note(
                SandboxLayer.SEATBELT,
                lambda: enter_seatbelt(self.readable, folder, writable=writable),
            )
            return
        self._note(
            SandboxLayer.LANDLOCK, lambda: restrict_files(self.readable, folder, writable=writable)
        )
        self._note(SandboxLayer.SECCOMP, lambda: filter_calls(writable=writable))

    def _note(self, layer: SandboxLayer, apply: Callable[[], str]) -> None:
        """Put a layer on, and keep whether the system has it."""
        if layer in self.policy.without:
            self._set(layer, on=False, reason="left out by the caller")
            return
        try:
            self._set(layer, on=True, reason=apply())
        except OSError as problem:
            self._set(layer, on=False, reason=str(problem.strerror or problem))

    def _set(self, layer: SandboxLayer, *, on: bool, reason: str) -> None:
        self.states[layer] = LayerState(layer, on, reason)
