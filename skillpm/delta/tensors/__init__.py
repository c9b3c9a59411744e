"""Tensors as words and values: pairs, differences, rounding, streams."""
