"""From a clean environment and the wheel to a routed answer of two skills: `quickstart.sh`."""
