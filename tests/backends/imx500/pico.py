"""PicoSAM3's network in the sensor's arithmetic, calibrated on random crops."""

from functools import cache

import torch
from edgekd.quantize.capture import capture
from edgekd.quantize.export import Portable, export_quantized
from edgekd.quantize.insert import calibrate, insert
from edgekd.schema.io import ImageInput, IoRecord, TensorOutput
from edgekd.schema.targets import find_target
from edgekd.students.picosam3.network import ModelConfig, PicoSam3Net

TARGET = find_target("imx500")
GREY = (128 / 255,) * 3
NARROW = ModelConfig(encoder=(4, 4, 8, 8), neck=8, decoder=(8, 8, 4, 4))


def record(size: int) -> IoRecord:
    crop = ImageInput(name="crop", shape=(1, 3, size, size), mean=GREY, std=GREY)
    return IoRecord(inputs=(crop,), outputs=(TensorOutput(name="logits"),))


def crops(size: int, count: int = 2):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(-128, 128, (count, 3, size, size), generator=generator) / 128


@cache
def exported(config: ModelConfig = NARROW, size: int = 32, calibrated: bool = True) -> Portable:
    torch.manual_seed(0)
    io, net, x = record(size), PicoSam3Net(config), crops(size)
    net(x)  # gives batch norm statistics that are not the initial ones
    net.eval()
    ends, state = [io.inputs[0].ends], None
    if calibrated:
        quantized = insert(capture(net, (x,), any_batch=True), TARGET.arithmetic, ends)
        calibrate(quantized, [(x,)])
        state = quantized.state()
    return export_quantized(net, state, TARGET.arithmetic, ends, io)
