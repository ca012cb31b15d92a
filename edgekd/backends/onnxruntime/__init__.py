"""ONNX Runtime: the portable graph is its input."""
