"""OpenVINO: the portable graph as IR."""
