"""PicoSAM3's network: the sizes that are published, its shapes, the authors' checkpoints."""

import pytest
import torch
from edgekd.backends.registry import backend
from edgekd.errors import MissingError, RequestError
from edgekd.graph import golden
from edgekd.graph.model import Graph
from edgekd.quantize.capture import capture
from edgekd.quantize.export import export_quantized, trained_codes
from edgekd.quantize.insert import calibrate, insert
from edgekd.schema.io import ImageInput, IoRecord, TensorOutput
from edgekd.schema.targets import find_target
from edgekd.students.picosam3.network import ModelConfig, PicoSam3Net
from edgekd.students.picosam3.upstream import from_upstream, load_upstream
from edgekd.verify.parity import compare
from torch import nn

SMALL = ModelConfig(encoder=(4, 4, 8, 8), neck=8, decoder=(8, 8, 4, 4))
OLDER = ModelConfig(gate="none", dilated_neck=False, refine=False)


@pytest.mark.parametrize(("config", "count"), [(ModelConfig(), 1_371_418), (OLDER, 1_262_818)])
def test_parameters_are_those_that_are_published(config, count):
    assert sum(p.numel() for p in PicoSam3Net(config).parameters()) == count


@pytest.mark.parametrize("size", [(96, 96), (32, 64)])
def test_logits_have_the_crop_s_size(size):
    net = PicoSam3Net(SMALL).eval()
    with torch.no_grad():
        assert net(torch.zeros(2, 3, *size)).shape == (2, 1, *size)


@pytest.mark.parametrize("name", ["x86", "x86:onnxruntime", "raspberry-pi-5", "jetson"])
def test_targets_run_it_in_the_integers_that_training_sees(name):
    torch.manual_seed(0)
    target, grey = find_target(name), (128 / 255,) * 3
    crop = ImageInput(name="crop", shape=(1, 3, 32, 32), mean=grey, std=grey)
    io = IoRecord(inputs=(crop,), outputs=(TensorOutput(name="logits"),))
    net, x = PicoSam3Net(SMALL), torch.randint(-128, 128, (2, 3, 32, 32)) / 128
    net(x)  # gives batch norm statistics that are not the initial ones
    quantized = insert(capture(net.eval(), (x,), any_batch=True), target.arithmetic, [crop.ends])
    calibrate(quantized, [(x,)])
    portable = export_quantized(net, quantized.state(), target.arithmetic, [crop.ends], io)
    graph = Graph(portable.model)
    assert not [*golden.check(graph), *backend(target.engine.backend).check(graph, target.engine)]
    codes = trained_codes(portable.quantized, (x[:1],))
    assert len(codes) > 30
    hop = compare("training", graph, [{"crop": x[:1].numpy()}], [codes], rounding=target.arithmetic.rounding)
    assert hop.first_beyond is None  # each tensor from its own inputs: a tie moved by one is no error of what follows


class Theirs(nn.Module):
    """The tensors of the authors' network under their names, in their places; it computes nothing."""

    def __init__(self, third):
        super().__init__()
        enc, dec, neck = (3, 48, 96, 160, 256), (320, 192, 128, 80, 40), 320

        def pair(a, b, d=1):
            depth = nn.Conv2d(a, a, 3, padding=d, dilation=d, groups=a, bias=False)
            return [depth, nn.BatchNorm2d(a), nn.ReLU(), nn.Conv2d(a, b, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]

        for i in range(4):
            setattr(self, f"encoder_stage{i + 1}", nn.Sequential(*pair(enc[i], enc[i + 1])))
            setattr(self, f"down{i + 1}", nn.Conv2d(enc[i + 1], enc[i + 1], 3, 2, 1, bias=False))
            setattr(self, f"up{i + 1}", nn.Sequential(nn.Upsample(), nn.Sequential(*pair(dec[i], dec[i + 1]))))
            setattr(self, f"skip_conn{4 - i}", nn.Conv2d(enc[4 - i], dec[i + 1], 1))
        self.bottleneck = nn.Sequential(nn.Sequential(*pair(256, neck)), *(pair(neck, neck, 2) if third else []))
        if third:
            self.eca = nn.ModuleDict({"conv1x1": nn.Conv2d(40, 40, 1, bias=False)})
            depth = nn.Conv2d(40, 40, 3, padding=1, groups=40, bias=False)
            self.refine = nn.Sequential(depth, nn.BatchNorm2d(40), nn.ReLU(), nn.Conv2d(40, 1, 1))
        else:
            self.output_head = nn.Conv2d(40, 1, 1)


@pytest.mark.parametrize("third", [True, False])
def test_every_tensor_of_the_authors_has_a_place(third, tmp_path):
    theirs = Theirs(third)
    torch.save(theirs.state_dict(), tmp_path / "net.pt")
    net = load_upstream(tmp_path / "net.pt")
    last = theirs.refine[3] if third else theirs.output_head
    assert len(net.state_dict()) == len(theirs.state_dict())
    assert torch.equal(net.head[-1].weight, last.weight)
    assert torch.equal(net.skip[0].weight, theirs.skip_conn4.weight)
    assert torch.equal(net.decoder[3][3].weight, theirs.up4[1][3].weight)
    if third:
        assert torch.equal(net.neck[1][3].weight, theirs.bottleneck[4].weight)


def test_what_does_not_fit_is_named(tmp_path):
    state = Theirs(True).state_dict()
    with pytest.raises(RequestError, match=r"lacks `eca.conv1x1.weight`"):
        from_upstream({k: v for k, v in state.items() if not k.startswith("eca")})
    with pytest.raises(RequestError, match=r"unknown `extra.weight`"):
        from_upstream(state | {"extra.weight": torch.zeros(1)})
    with pytest.raises(RequestError, match="unknown `7`"):
        from_upstream(state | {7: torch.zeros(1)})
    with pytest.raises(RequestError, match=r"unknown `bottleneck\.1\.weight`"):
        from_upstream(state | Theirs(False).state_dict())  # neither the one net nor the other
    with pytest.raises(RequestError, match=r"`down1.weight` of .* is \[1\]"):
        from_upstream(state | {"down1.weight": torch.zeros(1)})
    with pytest.raises(RequestError, match="no state dict"):
        from_upstream([1, 2])
    with pytest.raises(MissingError, match="does not exist"):
        load_upstream(tmp_path / "none.pt")


class Runs:
    """Would write a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    torch.save({"down1.weight": Runs(tmp_path / "ran")}, tmp_path / "net.pt")
    with pytest.raises(RequestError, match="no checkpoint of plain tensors"):
        load_upstream(tmp_path / "net.pt")
    assert not (tmp_path / "ran").exists()


def test_a_truncated_checkpoint_is_refused(tmp_path):
    torch.save(Theirs(True).state_dict(), tmp_path / "net.pt")
    whole = (tmp_path / "net.pt").read_bytes()
    (tmp_path / "net.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RequestError, match="no checkpoint of plain tensors"):
        load_upstream(tmp_path / "net.pt")
