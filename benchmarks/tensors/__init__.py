"""Speed and memory of tensor work at a given checkpoint size."""
