"""Teachers outside that are asked about hands."""
