"""The models of the tutorial; `quickstart.sh` goes from a wheel to the answers of two skills."""
