"""Real fine-tunes to compress: a causal LM on three kinds of text, an encoder on two tasks.

`python -m benchmarks.finetunes` makes all of them from files of the environment, and
`catalogue.finetunes` lists them for the other benchmarks.
"""

import os

# The hub client reads these when it is imported: benchmarks must not wait for a network.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
# Threads that spin while they wait slow each other down on a shared machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
