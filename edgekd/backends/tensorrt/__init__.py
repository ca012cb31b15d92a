"""TensorRT: a static check of Q/DQ placement, and a kit that the Jetson builds."""
