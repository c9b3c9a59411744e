"""Accuracy and cost of the router, and attacks on it."""
