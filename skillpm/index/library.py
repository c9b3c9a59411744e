"""The library httpx, which only registries over HTTP need."""

try:
    import httpx
except ImportError as problem:
    from skillpm.errors import UsageError

    raise UsageError(
        "a registry over HTTP needs the library `httpx`, which is not installed",
        hint="pip install 'httpx>=0.27'",
    ) from problem

__all__ = ["httpx"]
