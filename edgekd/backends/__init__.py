"""One folder a backend: check a portable graph, compile it. No torch."""
