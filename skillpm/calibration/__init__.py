"""Running models on calibration text: how much each weight matters, and what a pack has lost.

Needs the `hf` extra: transformers runs the models.
"""
