"""The skills of the experiments: generators of items with a check each, equal for equal seeds."""
