"""When to try again: from ten seconds to ten minutes, for as long as it takes."""

from datetime import datetime, timedelta

FIRST_SECONDS = 10.0
"""The shortest pause."""
LONGEST_SECONDS = 600.0
"""The longest pause; a destination that is down for days is still asked six times an hour."""


def next_try(
    attempts: int, now: datetime, jitter: float, after_seconds: float | None = None
) -> datetime:
    """Return when to try again after `attempts` attempts that came to nothing.

    The pause lies between the half of a bound and the bound, which doubles with each attempt
    from 20 s to 600 s. There is no last attempt: a result is never given up because the archive
    was away for long.

    Parameters
    ----------
    attempts
        How many have failed, at least 1.
    now
        When the last of them failed.
    jitter
        From 0 to 1, drawn by the caller, so that many nodes do not return at the same moment.
    after_seconds
        The pause that the destination asked for (`Retry-After`); never waited for longer than
        `LONGEST_SECONDS`, because a destination must not be able to silence us.
    """
    # 2**6 * FIRST_SECONDS is past the longest pause, and a large power would overflow.
    bound = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(max(attempts, 1), 6))
    pause = bound / 2 + bound / 2 * jitter
    if after_seconds is not None:
        pause = max(pause, min(after_seconds, LONGEST_SECONDS))
    return now + timedelta(seconds=pause)
