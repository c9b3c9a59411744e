"""A real language model: light fine-tunes of SmolLM2-135M, what packing costs and what it keeps."""

import benchmarks.finetunes  # noqa: F401 - keeps the hub's client, which imports it, offline
