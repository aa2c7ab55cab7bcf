"""Results on their way to each destination, and what its answer means."""
