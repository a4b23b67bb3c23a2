"""`python -m dlmd`: the same as `dlmd`. Knows nothing itself."""

from dlmd.cli import main

if __name__ == "__main__":
    main()
