"""The layers of the sandbox, one module each. Where the system lacks a layer, the others remain."""
