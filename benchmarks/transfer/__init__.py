"""Transfer of skills from small foreign sources: what each way of training and packing keeps."""

import benchmarks.finetunes  # noqa: F401 - keeps the hub's client, which imports it, offline
