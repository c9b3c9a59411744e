"""Runnable examples of skillpm; `python -m examples.demo` is the whole journey."""

from skillpm.cli.interrupts import leave_when_interrupted

leave_when_interrupted()
