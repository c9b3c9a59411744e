"""Ten skills of one tiny language model, learnt one after the other; one is taken off again."""
