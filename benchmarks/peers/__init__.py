"""The compressors that `auto` is compared with, each from calibration text to a file on disk.

`METHODS` maps a name to a function of a `Task` and a `Budget`; the candidate that it returns was
decoded from the file whose size it states. The methods may use torch, because they are not part of
skillpm.
"""

import os

# The hub client reads these when it is imported: benchmarks must not wait for a network.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

from benchmarks.peers.methods import METHODS
from benchmarks.peers.task import Budget, Candidate, Task

__all__ = ["METHODS", "Budget", "Candidate", "Task"]
