"""httpx, imported without its command line.

`httpx/__init__.py` imports its command line where that is installed, and with it rich and pygments:
100 of the 170 ms of `import httpx`. It goes on without, if the import fails.
"""

import sys

_COMMAND_LINE = "httpx._main"

if "httpx" not in sys.modules:
    sys.modules[_COMMAND_LINE] = None  # type: ignore[assignment]  # `import` raises ImportError
    try:
        import httpx
    finally:
        sys.modules.pop(_COMMAND_LINE, None)
else:
    import httpx

__all__ = ["httpx"]
