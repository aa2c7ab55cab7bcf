"""A second, private node on a hospital's own machine, to which harm is done: an acceptance test."""
