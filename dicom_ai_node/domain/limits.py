"""How long things may take and how often they are tried."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long things may take and how often they are tried.

    `lease` is how long the ledger believes in a worker that has not spoken; `lost_attempts` how
    many workers a job may take down; `retry` the first wait after a failure that may pass,
    doubled each time up to `longest_retry`.
    """

    lease: timedelta = timedelta(seconds=60)
    lost_attempts: int = 3
    retry: timedelta = timedelta(seconds=10)
    longest_retry: timedelta = timedelta(minutes=10)
    delivery_batch: int = 20

    def wait(self, failures: int) -> timedelta:
        """Return the wait after so many failures in a row, the first of which counts as 1."""
        doubled = self.retry * (1 << min(max(failures, 1) - 1, 16))
        return min(doubled, self.longest_retry)
