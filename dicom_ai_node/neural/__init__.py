"""What several kinds of task need to run a network."""
