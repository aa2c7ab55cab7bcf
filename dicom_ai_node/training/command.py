"""What every recipe is asked on the command line, and what `--score-only` has to find."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dicom_ai_node.training import folder as model_folder


def asked(folder: Path, minutes: float, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return `data`, `score_only`, `minutes` and `threads`, the last one already heeded."""
    ask = argparse.ArgumentParser(description=f"Train and score {folder.name}.")
    ask.add_argument("--data", type=Path, required=True, help="folder that holds train/ and dicom/")
    ask.add_argument("--score-only", action="store_true", help="score the shipped weights")
    ask.add_argument("--minutes", type=float, default=minutes)
    ask.add_argument("--threads", type=int, default=1)
    told = ask.parse_args(arguments)
    model_folder.torch_threads(told.threads)
    return told


def check_on_record(
    found: Mapping[str, Any], on_record: Mapping[str, Any], key: str, within: float
) -> None:
    """Compare `key` of every test score with what `docs/score.json` says.

    Raises
    ------
    SystemExit
        If one differs by more than `within`.
    """
    for name, numbers in found["test"].items():
        if abs(numbers[key] - on_record["test"][name][key]) > within:
            raise SystemExit(f"{name}: {numbers} is not what docs/score.json says")
