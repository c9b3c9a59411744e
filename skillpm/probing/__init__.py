"""Measures the metrics of probes on a running model. Does not depend on projects."""
