"""The models of the tutorial, and `quickstart.sh`: from a wheel to a routed answer of two skills."""
