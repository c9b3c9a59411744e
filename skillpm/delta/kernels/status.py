"""The implementation of the inner loops in this process, for `doctor`."""

from dataclasses import dataclass

from skillpm.delta.kernels.cache import FOLDER, kernel_folder, unsafe_folder
from skillpm.delta.kernels.choice import NUMBA, NUMPY, SETTINGS, import_problem, requested
from skillpm.libraries import installed


@dataclass(frozen=True)
class KernelStatus:
    """The implementation in use, the version of numba, and where compiled code is kept.

    `numba` is None if it is not installed. `problem` says why it cannot be imported; empty if it
    can, or if `SKILLPM_KERNELS` chooses numpy. `entries` is the number of compiled functions that
    are kept in `folder`; None if kernels compile in memory, because `folder`, which is the home or
    a folder in it, is not private.
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
    if SETTINGS.home is None:
        return KernelStatus(NUMBA, found)
    unsafe = unsafe_folder()
    if unsafe is not None:
        return KernelStatus(NUMBA, found, folder=str(unsafe))
    folder = kernel_folder()
    if folder is None:
        return KernelStatus(NUMBA, found, folder=str(SETTINGS.home / FOLDER), entries=0)
    with folder:
        return KernelStatus(NUMBA, found, "", str(folder.path), len(folder.names()))
