"""`python -m benchmarks`, from the root of the checkout."""

from __future__ import annotations

from benchmarks.command import main

if __name__ == "__main__":
    main()
