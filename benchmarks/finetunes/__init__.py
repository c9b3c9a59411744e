"""Real fine-tunes to compress: a causal LM's to three kinds of text, an encoder's to two tasks.

`python -m benchmarks.finetunes` makes them all from what the environment holds already, and
`catalogue.finetunes` lists them for the other benchmarks.
"""

import os

# The hub client reads these when it is imported: nothing here may wait for a network.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
# Threads that spin while they wait make each other's work many times slower on a shared machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
