"""Continual learning without forgetting: domains learnt in sequence, and what each retains.

`python -m benchmarks.continual` trains what is missing and prints the tables.
"""
