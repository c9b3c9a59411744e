"""Running a model on texts with transformers, for calibration, probes and the router.

Needs the extra `hf`.
"""
