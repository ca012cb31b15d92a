"""Where the time of a graph goes in an engine, what keeps it slow, and what would change that."""
