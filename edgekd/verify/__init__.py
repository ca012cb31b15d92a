"""Did every conversion keep the answers? Traces, hops, scores, gates."""
