"""`transfer`: train the base on answers of source models, and pack what it learnt (ADR 50)."""
