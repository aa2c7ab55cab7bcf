"""`python -m tests.faults`, or `make faults`: the fault matrix as a table."""

import sys

from tests.faults.matrix import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
