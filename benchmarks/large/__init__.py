"""Models of large shapes: tensors of 70B models, and mixtures of many small experts."""
