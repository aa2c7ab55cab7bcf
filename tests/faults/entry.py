"""The program of the small node: `python -m tests.faults.entry ae_config.yaml`. For tests only.

It imports nothing at its beginning, because its workers begin with it, too.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    from tests.faults.planted_node import serve

    sys.exit(serve(Path(sys.argv[1])))
