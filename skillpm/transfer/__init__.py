"""Transfer of a capability from source models to the base: documents that it reads (ADR 51)."""
