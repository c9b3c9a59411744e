"""The sandbox: code and data of strangers run in a process that can reach nothing else (ADR 22)."""
