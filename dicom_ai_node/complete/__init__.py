"""Has it all arrived? Evidence, not a guess."""
