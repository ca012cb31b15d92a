"""LiteRT: the portable graph as a .tflite file, written and read without a converter."""
