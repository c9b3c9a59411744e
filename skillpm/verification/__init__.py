"""Whether what a manifest says of its pack is so: one file for each kind of statement (ADR 25)."""
