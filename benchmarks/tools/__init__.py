"""What benchmarks share: tables, running commands, checkpoints."""
