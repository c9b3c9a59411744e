"""Runnable examples of skillpm; `python -m examples.demo` is the whole journey."""
