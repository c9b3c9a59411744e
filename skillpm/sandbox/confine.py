"""Applying the layers of the sandbox, in the worker and before it reads untrusted input."""

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
from skillpm.sandbox.layers.privileges import become_ordinary_user, drop_privileges
from skillpm.sandbox.layers.seatbelt import enter_seatbelt
from skillpm.sandbox.layers.seccomp import filter_calls
from skillpm.sandbox.policy import SandboxPolicy
from skillpm.sandbox.report import LayerState, SandboxLayer, SandboxReport


@dataclass
class Confinement:
    """The confinement of the current process. `states` records each layer that was tried."""

    policy: SandboxPolicy
    readable: list[str]
    states: dict[SandboxLayer, LayerState] = field(default_factory=dict)

    @property
    def report(self) -> SandboxReport:
        """The state of all layers tried so far."""
        return SandboxReport(tuple(self.states.values()))

    def is_on(self, layer: SandboxLayer) -> bool:
        """Whether a layer has been applied."""
        return layer in self.report.active

    def separate(self) -> None:
        """Enter new namespaces. The PID namespace takes effect for the next child process."""
        self._apply(SandboxLayer.ENVIRONMENT, lambda: "three pipes, no variables of the user")
        if is_administrator():
            self._set(SandboxLayer.USER_NAMESPACE, on=False, reason="not needed by root")
        else:
            self._apply(SandboxLayer.USER_NAMESPACE, enter_user_namespace)
        for layer in (
            SandboxLayer.NETWORK_NAMESPACE,
            SandboxLayer.IPC_NAMESPACE,
            SandboxLayer.MOUNT_NAMESPACE,
            SandboxLayer.PID_NAMESPACE,
        ):
            self._apply(layer, partial(enter_namespace, layer))

    def enclose(self, folder: Path, files: Mapping[str, bytes]) -> None:
        """Write the files to the worker's folder, change to it, and apply all remaining layers.

        Open file descriptors stay open; `close_files` closes them.
        """
        writable = self.policy.limits.folder_bytes
        mapped = address_space()
        if self.is_on(SandboxLayer.MOUNT_NAMESPACE):
            self._apply(
                SandboxLayer.MOUNT_NAMESPACE,
                lambda: enter_private_files(folder, self.readable, files, writable),
            )
        if not self.is_on(SandboxLayer.MOUNT_NAMESPACE):
            leave_private_files(folder)
            write_files(folder, files)
            os.chdir(folder)
        if os.geteuid() == 0:
            has_private_files = self.is_on(SandboxLayer.MOUNT_NAMESPACE)
            own_folder = None if has_private_files else folder
            self._apply(
                SandboxLayer.ORDINARY_USER,
                lambda: become_ordinary_user(self._needed_files(), own_folder),
            )
        self._apply(SandboxLayer.LIMITS, lambda: set_limits(self.policy.limits, mapped))
        if sys.platform == "linux":
            self._apply(SandboxLayer.PRIVILEGES, drop_privileges)
        self._restrict(str(Path.cwd()), writable=bool(writable))

    def _needed_files(self) -> list[str]:
        modules = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
        return [*self.readable, *filter(os.path.isabs, filter(None, modules))]

    def _restrict(self, folder: str, *, writable: bool) -> None:
        if sys.platform == "darwin":
            self._apply(
                SandboxLayer.SEATBELT,
                lambda: enter_seatbelt(self.readable, folder, writable=writable),
            )
            return
        programs = self.policy.programs
        self._apply(
            SandboxLayer.LANDLOCK,
            lambda: restrict_files(self.readable, folder, writable=writable, programs=programs),
        )
        self._apply(
            SandboxLayer.SECCOMP, lambda: filter_calls(writable=writable, programs=programs)
        )

    def _apply(self, layer: SandboxLayer, apply: Callable[[], str]) -> None:
        """Apply a layer and record its state. A layer that the system lacks stays off."""
        if layer in self.policy.without:
            self._set(layer, on=False, reason="excluded by the caller")
            return
        try:
            self._set(layer, on=True, reason=apply())
        except OSError as problem:
            self._set(layer, on=False, reason=str(problem.strerror or problem))

    def _set(self, layer: SandboxLayer, *, on: bool, reason: str) -> None:
        self.states[layer] = LayerState(layer, on, reason)
