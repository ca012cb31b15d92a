"""Sessions with hardware."""
