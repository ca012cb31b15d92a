"""A small classifier of grey pictures: depthwise-separable convolutions, batch norm, residual sums, global pooling."""
