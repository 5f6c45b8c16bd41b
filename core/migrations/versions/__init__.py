"""Scripts that bring a database from one release to the next, forward only."""
