"""Ten skills of one tiny language model, learnt in sequence; one is uninstalled again."""
