"""The compressors that `auto` is measured against, each from calibration text to a file on disk.

`METHODS` maps a name to a function of a `Task` and a `Budget`; what it returns was decoded from
the file whose bytes it states. The methods may use torch freely: nothing here is ever shipped.
"""

import os

# The hub client reads these when it is imported: nothing here may wait for a network.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

from benchmarks.peers.methods import METHODS
from benchmarks.peers.task import Budget, Candidate, Task

__all__ = ["METHODS", "Budget", "Candidate", "Task"]
