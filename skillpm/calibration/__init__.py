"""What calibration text says of a model: how much each weight matters, and what a pack has lost."""
