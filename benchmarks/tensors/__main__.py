"""Run the benchmark: see `benchmarks.tensors.main`."""

from benchmarks.tensors.main import main

if __name__ == "__main__":
    main()
