"""PicoSAM3's network in the sensor's arithmetic, calibrated on random crops."""

import torch
from edgekd.graph.model import Graph
from edgekd.quantize.capture import capture
from edgekd.quantize.export import Portable, export_quantized
from edgekd.quantize.insert import calibrate, insert
from edgekd.schema.io import ImageInput, IoRecord, TensorOutput
from edgekd.schema.targets import find_target
from edgekd.students.picosam3.network import ModelConfig, PicoSam3Net

TARGET = find_target("imx500")
GREY = (128 / 255,) * 3
NARROW = ModelConfig(encoder=(4, 4, 8, 8), neck=8, decoder=(8, 8, 4, 4))


def record(size: int, mean=GREY, std=GREY) -> IoRecord:
    crop = ImageInput(name="crop", shape=(1, 3, size, size), mean=mean, std=std)
    return IoRecord(inputs=(crop,), outputs=(TensorOutput(name="logits"),))


def crops(size: int, count: int = 2):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(-128, 128, (count, 3, size, size), generator=generator) / 128


def exported(config: ModelConfig = NARROW, size: int = 32, io: IoRecord | None = None) -> Portable:
    torch.manual_seed(0)
    io = io or record(size)
    net, x, ends = PicoSam3Net(config), crops(size), [io.inputs[0].ends]
    net(x)  # gives batch norm statistics that are not the initial ones
    quantized = insert(capture(net.eval(), (x,), any_batch=True), TARGET.arithmetic, ends)
    calibrate(quantized, [(x,)])
    return export_quantized(net, quantized.state(), TARGET.arithmetic, ends, io)


def graph(*args, **more) -> Graph:
    return Graph(exported(*args, **more).model)
