"""Checks: whether an answer of a model is right, decided from data (ADR 51).

A check is one JSON object, `{KIND: VALUE}`. The file of a kind describes its value. `kinds` parses
checks, and `judge` runs them.
"""
