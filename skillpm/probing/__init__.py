"""Probes: small evaluations that packs carry, measured on a running model. Needs the `hf` extra."""
