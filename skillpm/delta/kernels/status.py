"""The implementation of the inner loops in this process, for `doctor`."""

from dataclasses import dataclass

from skillpm.delta.kernels.cache import FOLDER, is_safe, kernel_folder
from skillpm.delta.kernels.choice import NUMBA, NUMPY, SETTINGS, import_problem, requested
from skillpm.version import installed


@dataclass(frozen=True)
class KernelStatus:
    """The implementation in use, the version of numba, and where compiled code is kept.

    `numba` is None if it is not installed. `problem` says why it cannot be imported; empty if it
    can, or if `SKILLPM_KERNELS` chooses numpy. `entries` is the number of compiled functions that
    are kept; None if kernels compile in memory, because another user could change `folder`.
    """

    implementation: str
    numba: str | None
    problem: str = ""
    folder: str = ""
    entries: int | None = None


def kernel_status() -> KernelStatus:
    """Examine numba and the folder of compiled code. Imports numba, which takes half a second."""
    found = installed("numba")
    if requested() == NUMPY:
        return KernelStatus(NUMPY, found)
    problem = import_problem()
    if problem:
        return KernelStatus(NUMPY, found, problem)
    place = str(SETTINGS.home / FOLDER) if SETTINGS.home else ""
    if not is_safe():
        return KernelStatus(NUMBA, found, folder=place)
    folder = kernel_folder()
    if folder is None:
        return KernelStatus(NUMBA, found, folder=place, entries=0)
    with folder:
        return KernelStatus(NUMBA, found, "", str(folder.path), len(folder.names()))
