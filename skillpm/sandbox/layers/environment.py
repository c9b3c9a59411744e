"""Environment variables and open files of the worker, none of which come from the user."""

import os
import site
import tempfile
from collections.abc import Mapping
from pathlib import Path

_LIBRARIES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME")
"""Variables with which Python finds its libraries; the user's values are kept."""
_FIXED = {
    "LANG": "C.UTF-8",
    "PATH": "",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUTF8": "1",
    "HOME": "/nonexistent",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


def clean_environment(current: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of the supervisor: fixed values, and the paths of libraries.

    Relative entries of PYTHONPATH are dropped, because the current folder may be untrusted.
    """
    kept = {name: current[name] for name in _LIBRARIES if current.get(name)}
    entries = current.get("PYTHONPATH", "").split(os.pathsep)
    absolute = [entry for entry in entries if Path(entry).is_absolute()]
    if absolute:
        kept["PYTHONPATH"] = os.pathsep.join(absolute)
    if site.ENABLE_USER_SITE:
        kept["PYTHONUSERBASE"] = site.getuserbase()
    return {**_FIXED, **kept, "TMPDIR": tempfile.gettempdir()}


def close_files(*, keep: frozenset[int]) -> None:
    """Close all file descriptors except standard input, output and error, and those in `keep`."""
    low = 3
    for handle in sorted(handle for handle in keep if handle >= low):
        os.closerange(low, handle)
        low = handle + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
