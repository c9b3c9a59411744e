"""Run `benchmarks.routing.main` as `python -m benchmarks.routing`."""

from benchmarks.routing.main import main

if __name__ == "__main__":
    main()
