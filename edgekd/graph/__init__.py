"""The portable graph: read, rewrite, interpret, count. numpy and onnx only."""
