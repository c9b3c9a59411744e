"""A skill from a small source with a foreign tokenizer: `python -m examples.transfer`."""
