"""Tools that benchmarks share: tables, running commands, checkpoints."""
