"""Run models: probes, routing, weight tuning, the live model."""
