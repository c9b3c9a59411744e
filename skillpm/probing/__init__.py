"""Probing: the metrics of probes, measured on a running model. Knows nothing of projects."""
