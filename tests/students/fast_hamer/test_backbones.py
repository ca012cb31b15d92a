"""Backbones: published sizes, shapes of maps, the package that some of them need."""

import sys

import pytest
import torch
from edgekd.errors import MissingError
from edgekd.students.fast_hamer.backbones import BACKBONES, build
from edgekd.students.fast_hamer.backbones.nano import nano
from edgekd.students.fast_hamer.config import ModelConfig
from torch.utils.flop_counter import FlopCounterMode

# torchvision's and timm's own counts without what classifies; ConvNeXt-Tiny's is 28,589,128 less norm and classifier
PUBLISHED = {
    "mobilenet-v3-large": (2_971_952, 960),
    "mobilevit-s": (4_937_632, 640),
    "resnet-50": (23_508_032, 2048),
    "resnet-101": (42_500_160, 2048),
    "convnext-tiny": (28_589_128 - 2 * 768 - 769_000, 768),
    "convnext-large": (196_227_264, 1536),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_backbones_have_their_sizes(name):
    with torch.device("meta"):
        net, channels = build(ModelConfig(backbone=name))
        seen = net.eval()(torch.zeros(2, 3, 256, 256))
    count, width = PUBLISHED[name]
    assert sum(p.numel() for p in net.parameters()) == count
    assert seen.shape == (2, width, 8, 8)
    assert channels == width == BACKBONES[name][1]


def test_nano_is_small():
    net = nano().eval()
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        assert net(torch.zeros(1, 3, 128, 128)).shape == (1, 192, 8, 8)
    assert sum(p.numel() for p in net.parameters()) == 341_904
    assert counted.get_total_flops() / 2 < 40e6


@pytest.mark.parametrize(("width", "channels"), [(0.25, 48), (0.1, 16), (2, 384)])
def test_nano_s_channels_are_whole_eights(width, channels):
    net, told = build(ModelConfig(width=width))
    with torch.no_grad():
        assert net.eval()(torch.zeros(1, 3, 32, 48)).shape == (1, channels, 2, 3)
    assert told == channels


def test_without_transformers_it_is_told_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingError, match="`resnet-50` needs the package `transformers`") as told:
        build(ModelConfig(backbone="resnet-50"))
    assert "edgekd[hamer]" in told.value.hint
    build(ModelConfig(backbone="mobilenet-v3-large"))
