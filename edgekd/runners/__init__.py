"""One file a runtime, and the clock: standard library, numpy and that runtime, so that they run on a device alone."""
