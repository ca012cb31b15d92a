"""Fake quantizers, placement, calibration, QAT and export: the only door from torch to ONNX."""
