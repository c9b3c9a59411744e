"""Calibration text: how much each weight matters to a model, and what a pack has lost."""
