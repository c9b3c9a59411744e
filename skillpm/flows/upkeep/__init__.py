"""Maintain the home: cache, garbage collection, doctor."""
