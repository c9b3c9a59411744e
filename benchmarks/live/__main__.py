"""Run the benchmark: see `benchmarks.live.main`."""

from benchmarks.live.main import main

if __name__ == "__main__":
    main()
