"""Running a model on texts: what calibration, probes and the router ask of transformers.

Needs the `hf` extra.
"""
