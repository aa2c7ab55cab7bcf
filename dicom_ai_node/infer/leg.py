"""How an inference is shared out among its phases: a guess, good enough for a bar that grows."""

LOADED = 0.05
"""Of the whole leg; the rest is shared out as follows."""
READ = 0.25
CHECKED = 0.35
ANSWERED = 0.9
