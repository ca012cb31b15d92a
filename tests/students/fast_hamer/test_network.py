"""Students: what they answer in either form, and that targets run them in the integers that training sees."""

import pytest
import torch
from edgekd.backends.registry import backend
from edgekd.errors import RequestError
from edgekd.graph import golden
from edgekd.graph.model import Graph
from edgekd.quantize.capture import capture
from edgekd.quantize.export import export_float, export_quantized, trained_codes
from edgekd.quantize.insert import calibrate, insert
from edgekd.schema.io import ImageInput, IoRecord, TensorOutput
from edgekd.schema.targets import find_target
from edgekd.students.fast_hamer.backbones.nano import conv
from edgekd.students.fast_hamer.config import HeadConfig, ModelConfig
from edgekd.students.fast_hamer.deployed import DeployedHead
from edgekd.students.fast_hamer.head import joined
from edgekd.students.fast_hamer.network import DeployedNet, HandNet, fold
from edgekd.verify.parity import compare
from torch import nn

HEAD = HeadConfig(depth=2, width=16, heads=2, head_width=8, hidden=16)
OUTPUTS = ("pose", "shape", "scale", "place")
SMALL = ModelConfig(width=0.25, head=HEAD)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def pictures(count, side):
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, side, side)) / 255
    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def record(side):
    crop = ImageInput(name="crop", shape=(1, 3, side, side), mean=MEAN, std=STD)
    outputs = tuple(TensorOutput(name=name) for name in OUTPUTS)
    return IoRecord(inputs=(crop,), outputs=outputs), crop


def shapes(outputs):
    return [tuple(out.shape) for out in outputs]


def test_what_a_student_answers_with():
    crops, answer = pictures(2, 64), [(2, 96), (2, 10), (2, 3)]
    assert shapes(HandNet(SMALL)(crops)) == answer
    assert shapes(HandNet(SMALL, features=True)(crops)) == [*answer, (2, 48, 4, 4)]
    assert shapes(HandNet(SMALL, adapter=20)(crops)) == [*answer, (2, 20, 4, 4)]


def test_a_student_folds_into_the_deployed_form():
    torch.manual_seed(0)
    net, crops = HandNet(SMALL, adapter=20), pictures(4, 64)
    net(crops)  # statistics of batch norm
    before = {name: tensor.clone() for name, tensor in net.eval().state_dict().items()}
    ships = fold(net)
    with torch.no_grad():
        for found, wanted in zip(joined(ships(crops)), net(crops)[:3], strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    DeployedNet(SMALL).load_state_dict(ships.state_dict())
    ships.backbone[0][0].weight.data.zero_()
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_the_map_is_tapped_in_both_forms():
    crops, net = pictures(1, 64), HandNet(SMALL)
    taps = [capture(form, (crops,)).tap("backbone") for form in (net, fold(net))]
    assert taps[0] == taps[1] == "backbone.10.2/relu"


class Seen(nn.Module):
    """The deployed decoder behind one convolution: what the backbone adds is of the same kinds."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(*conv(3, 8, 3, 4), nn.ReLU())
        self.head = DeployedHead(HEAD, 8)

    def forward(self, crop):
        return tuple(self.head(self.backbone(crop)))


@pytest.mark.parametrize("name", ["x86", "x86:onnxruntime", "raspberry-pi-5", "jetson"])
def test_targets_run_it_in_the_integers_that_training_sees(name):
    target, (io, crop), x = find_target(name), record(16), pictures(2, 16)
    torch.manual_seed(0)
    net = Seen()
    net(x)
    quantized = insert(capture(net.eval(), (x,), any_batch=True), target.arithmetic, [crop.ends])
    calibrate(quantized, [(x,)])
    portable = export_quantized(net, quantized.state(), target.arithmetic, [crop.ends], io)
    graph = Graph(portable.model)
    assert not [*golden.check(graph), *backend(target.engine.backend).check(graph, target.engine)]
    codes = trained_codes(portable.quantized, (x[:1],))
    assert len(codes) > 15
    hop = compare("training", graph, [{"crop": x[:1].numpy()}], [codes], rounding=target.arithmetic.rounding)
    assert hop.first_beyond is None


def test_the_float_graph_answers_as_the_net_does():
    net, x = fold(HandNet(SMALL)), pictures(1, 64)
    graph = Graph(export_float(net, record(64)[0]))
    assert not [*golden.check(graph), *backend("litert").check(graph, find_target("raspberry-pi-5").engine)]
    found = golden.run(graph, {"crop": x.numpy()})
    with torch.no_grad():
        for name, wanted in zip(OUTPUTS, net(x), strict=True):
            torch.testing.assert_close(torch.from_numpy(found[name]), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", [DeployedNet, HandNet])
def test_places_of_another_size_are_told(form):
    """What a person reads where `model.places`, the crop's side and the backbone's stride do not fit."""
    with pytest.raises(RequestError, match=r"`model\.places` is 5, but the backbone's map is 4 x 4") as told:
        capture(form(SMALL.model_copy(update={"places": 5})), (torch.zeros(1, 3, 64, 64),))
    assert told.value.hint.startswith("set it to 4")
