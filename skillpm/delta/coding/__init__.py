"""Entropy coding of integers, and the payload file."""
