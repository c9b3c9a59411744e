"""The models of the tutorial; `quickstart.sh` goes from a wheel to a routed answer of two skills."""
