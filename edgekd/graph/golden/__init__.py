"""The golden interpreter: what the integers of a portable graph are, by definition. numpy and onnx only.

Two roundings exist. `rne_f32` (ONNX Runtime, XNNPACK): the accumulator, as float32, times the float32 number
`s_x * s_w / s_y`, rounded half to even. `tfl_double` (LiteRT's reference kernels, TFLM, Ethos-U): a 31-bit multiplier
and two roundings, half away from zero.
"""

from edgekd.graph.golden.convolution import convolution
from edgekd.graph.golden.rounding import Rounding
from edgekd.graph.golden.run import Trace, check, run
from edgekd.graph.golden.windows import Window

__all__ = ["Rounding", "Trace", "Window", "check", "convolution", "run"]
