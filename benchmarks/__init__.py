"""The figures that the project promises, each by a command: `python -m benchmarks.NAME`."""
