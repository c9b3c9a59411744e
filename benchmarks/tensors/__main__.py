"""Run `benchmarks.tensors.main` as `python -m benchmarks.tensors`."""

from benchmarks.tensors.main import main

if __name__ == "__main__":
    main()
