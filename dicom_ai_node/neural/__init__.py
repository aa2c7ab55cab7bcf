"""What several kinds of tasks need to run a network: memory that suffices, and reasons."""
