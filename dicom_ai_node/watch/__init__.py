"""The logbook: what the node tells its operators of its own accord. It changes no study."""
