"""`python -m tests.fuzz.reached TARGET`: which part of a target's lines its corpus reaches."""

import sys

import coverage


def main(name: str) -> str:
    """Let the target read its seeds and its corpus, and count lines."""
    watching = coverage.Coverage(data_file=None, include=["*/dicom_ai_node/*"])
    watching.start()
    from tests.fuzz.corpus import kept  # noqa: PLC0415 - what is imported is counted, too
    from tests.fuzz.targets import TARGETS, read  # noqa: PLC0415

    target = TARGETS[name]
    for data in (*target.seeds(), *kept(name)):
        read(target, data)
    watching.stop()
    lines = missed = 0
    for module in target.modules:
        _, all_lines, _, not_reached, _ = watching.analysis2(sys.modules[module])
        lines, missed = lines + len(all_lines), missed + len(not_reached)
    return f"{lines - missed} of {lines}"


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1]) + "\n")
