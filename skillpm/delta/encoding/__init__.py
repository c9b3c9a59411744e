"""Encodes the difference of two models under a scheme."""
