"""Benchmarks of commands: time, memory, crash tests and the resolver."""
