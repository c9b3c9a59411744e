"""The parts of a graft record that decide whether a folder may be replaced."""

import json

_ROOT = f"sha256:{'0' * 64}"
STAMPED = json.dumps({"format": 1, "root": _ROOT, "base_root": _ROOT, "files": {}})
