"""What several kinds of task need to run a network and to understand its answer."""
