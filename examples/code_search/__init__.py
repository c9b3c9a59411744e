"""A real skill to pack: a sentence encoder tuned to find Python functions by their docstrings.

Everything works offline: the encoder comes from an installed package and the data from the
standard library's own source. Benchmarks reuse `prepare.prepare` and `evaluate.mrr`.
"""

import os

# The hub client reads these when it is imported, so they are set before any module of this
# package can import transformers: a demo must not wait for a network that it does not need.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
