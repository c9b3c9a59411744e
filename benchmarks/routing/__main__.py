"""Run the benchmark: see `benchmarks.routing.main`."""

from benchmarks.routing.main import main

if __name__ == "__main__":
    main()
