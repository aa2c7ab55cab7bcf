"""One target under libFuzzer: `python -m tests.fuzz.guided TARGET [libFuzzer options]`."""

import os
import sys

import atheris

with atheris.instrument_imports(include=["dicom_ai_node"]):
    from tests.fuzz.targets import TARGETS, read

AGAIN = "FUZZ_AGAIN"
"""The environment variable that names a program which starts this one again."""


def main() -> None:
    """Hand the process over to libFuzzer."""
    target = TARGETS[sys.argv.pop(1)]
    # To cut a corpus down libFuzzer starts itself again, by the name that it was started by.
    sys.argv[0] = os.environ.get(AGAIN, sys.argv[0])
    atheris.Setup(sys.argv, lambda data: read(target, data) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
