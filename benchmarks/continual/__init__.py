"""The forget-free table: domains learnt one after the other, and what is left of each at the end.

`python -m benchmarks.continual` trains what is not there yet and prints the tables.
"""
