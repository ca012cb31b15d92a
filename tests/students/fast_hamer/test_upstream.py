"""Checkpoints of HaMeR and Fast-HaMeR: every tensor has a place, and answers are the authors' nets'."""

import sys
from functools import cache
from types import ModuleType
from zipfile import ZipFile

import pytest
import torch
from edgekd.errors import MissingError, ProblemsError, RequestError
from edgekd.students.fast_hamer.head import ManoHead
from edgekd.students.fast_hamer.network import fold
from edgekd.students.fast_hamer.teachers.hamer_net import HamerNet, VitConfig
from edgekd.students.fast_hamer.upstream import LEFT_OUT, copy_head, from_hamer, from_student, load_hamer, load_student

from tests.students.fast_hamer.authors import filled, hamer, head, meta, noise, student, under

NARROW = {"width": 32, "inner": 64, "hidden": 48, "depth": 2}
SMALL = {"width": 64, "depth": 2}
EXTRA = {f"{room}x" if room.endswith(".") else room: torch.zeros(2) for room in LEFT_OUT}


@cache
def small(name="mobilenet-v3-large"):
    return filled(student(name, **NARROW))


@cache
def small_hamer():
    backbone = {key: shape for key, shape in hamer(**SMALL).items() if key.startswith("backbone")}
    return filled(backbone | under("mano_head", head(64, **NARROW)))


@pytest.mark.parametrize(
    ("name", "millions"),
    [("mobilenet-v3-large", 40.50), ("mobilevit-s", 40.50), ("resnet-50", 67.72), ("resnet-101", 86.72),
     ("convnext-large", 237.30)],
)  # fmt: skip
def test_every_tensor_of_a_published_student_has_a_place(name, millions):
    state = meta(student(name)) | EXTRA
    net = from_student(state)
    assert net.config.backbone == name
    assert (net.config.head.depth, net.config.head.head_width) == (6, 64)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == millions
    numbers = sum(t.numel() for t in net.state_dict().values())
    assert numbers == sum(t.numel() for t in meta(student(name)).values())


def test_every_tensor_of_hamer_has_a_place():
    net = from_hamer(meta(hamer()) | EXTRA)
    assert sum(p.numel() for p in net.backbone.parameters()) == 630_912_000
    assert sum(p.numel() for p in net.mano_head.parameters()) == 39_497_837


# Answers of torchvision 0.28.0's, timm 1.0.31's and HaMeR's own classes, with the weights of `filled`, to `noise`: the
# first three numbers of the pose, two of the shape, the camera; the mean size of the map's values.
ANSWERS = {
    "mobilenet-v3-large": ((-0.07884, 2.04254, 2.56756, -3.26791, 0.34316, -4.19619, 3.35968, -2.77565), 0.1394851),
    "mobilevit-s": ((5.49315, -3.7664, -2.92847, -1.15009, 0.71762, -7.32219, 0.52805, 1.71419), 0.1392944),
    "resnet-50": ((13.41971, -244.83588, 2.98848, 221.75041, 217.65013, -20.3784, 7.91308, 110.06258), 27.52646),
    "hamer": ((4.21139, -0.96746, 0.07518, 5.87977, 2.81796, -3.28716, -0.47233, -2.8291), 0.8090286),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_is_read_answers_as_the_authors_nets_do(name):
    if name == "hamer":
        net, side = from_hamer(small_hamer()), 256
    else:
        net, side = from_student(small(name)), 64
        net.features = True
    with torch.no_grad():
        pose, shape, camera, seen = net(noise((1, 3, side, side), 99))
    found = torch.cat([pose[0, :3], shape[0, :2], camera[0], seen.abs().mean()[None]])
    answers, size = ANSWERS[name]
    torch.testing.assert_close(found, torch.tensor([*answers, size]), rtol=1e-4, atol=1e-4)
    if name != "hamer":
        with torch.no_grad():
            folded, atol = fold(net)(noise((1, 3, side, side), 99))[0], 1e-5 * float(pose.abs().max().clamp(min=10))
        torch.testing.assert_close(folded, pose, rtol=1e-4, atol=atol)


def test_what_does_not_fit_is_told_at_once_by_the_authors_names():
    state = small()
    layer = "mano_head.transformer.transformer.layers.1.0.fn.to_qkv.weight"
    odd = {k: v for k, v in state.items() if "deccam" not in k} | {"backbone.99": torch.zeros(1), layer: torch.zeros(3)}
    with pytest.raises(ProblemsError) as told:
        from_student(odd, "net.ckpt")
    text = str(told.value)
    assert "`net.ckpt` lacks `mano_head.deccam.bias`, `mano_head.deccam.weight`" in text
    assert "`net.ckpt` has an unknown `backbone.99`" in text
    assert f"`{layer}` of `net.ckpt` is [3], and [192, 32]" in text


def test_another_net_is_refused():
    state = small()
    with pytest.raises(RequestError, match=r"no state dict"):
        from_student([1])
    with pytest.raises(RequestError, match=r"lacks `mano_head\.transformer\.transformer\.layers\.0\.1\.fn\.to_q"):
        from_student({"a": torch.zeros(1)})
    with pytest.raises(RequestError, match=r"lacks `backbone\.pos_embed`"):
        from_hamer(state)
    with pytest.raises(RequestError, match="is none of"):
        from_student({k: v for k, v in state.items() if "backbone" not in k})
    with pytest.raises(RequestError, match="no multiple of 16 heads"):
        from_hamer(small_hamer() | {"backbone.pos_embed": torch.zeros(1, 193, 60)})
    with pytest.raises(RequestError, match=r"is \[60\], not of 3 dimensions"):
        from_hamer(small_hamer() | {"backbone.pos_embed": torch.zeros(60)})
    question = {k: v[:8] for k, v in state.items() if k.endswith("to_q.weight")}
    with pytest.raises(ProblemsError, match="head_width"):
        from_student(state | question)


def test_a_checkpoint_of_lightning_is_read_without_the_classes_of_its_settings(tmp_path, monkeypatch):
    module = ModuleType("yacs.config")
    settings = type("CfgNode", (dict,), {"__module__": "yacs.config"})
    module.CfgNode = settings
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "yacs", ModuleType("yacs"))
        patch.setitem(sys.modules, "yacs.config", module)
        held = {
            "state_dict": small() | EXTRA,
            "hyper_parameters": {"cfg": settings(MODEL=settings(SIZE=1))},
            "epoch": 3,
        }
        torch.save(held, tmp_path / "last.ckpt")
    net = load_student(tmp_path / "last.ckpt")
    assert torch.equal(net.mano_head.deccam.bias, held["state_dict"]["mano_head.deccam.bias"])
    assert "yacs.config" not in sys.modules


class Runs:
    """Would write a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    torch.save({"state_dict": small(), "hyper_parameters": Runs(tmp_path / "ran")}, tmp_path / "net.ckpt")
    with pytest.raises(RequestError, match="no checkpoint of plain tensors"):
        load_student(tmp_path / "net.ckpt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "spoilt", [b"\x80\x02a.", b"\x80\x02}(ae.", b"\x80\x02ccollections\nOrderedDict\nq\x00)Ra.", b""]
)
def test_a_checkpoint_whose_inside_is_spoilt_is_told(spoilt, tmp_path):
    with ZipFile(tmp_path / "net.ckpt", "w") as file:
        file.writestr("net/data.pkl", spoilt)
        file.writestr("net/version", "3\n")
    with pytest.raises(RequestError, match="no checkpoint of plain tensors"):
        load_student(tmp_path / "net.ckpt")


def test_truncated_and_absent_files_are_told(tmp_path):
    torch.save(small_hamer(), tmp_path / "net.ckpt")
    whole = (tmp_path / "net.ckpt").read_bytes()
    (tmp_path / "net.ckpt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RequestError, match="no checkpoint of plain tensors"):
        load_hamer(tmp_path / "net.ckpt")
    with pytest.raises(MissingError, match="does not exist"):
        load_hamer(tmp_path / "none.ckpt")


def test_a_student_may_begin_with_the_teacher_s_decoder():
    teacher = from_hamer(small_hamer()).mano_head
    mine = ManoHead(teacher.config, 24)
    own = mine.transformer.transformer.layers[0][1].fn.to_kv.weight.clone()
    copy_head(teacher, mine)
    assert torch.equal(mine.transformer.transformer.layers[0][1].fn.to_kv.weight, own)
    assert torch.equal(mine.transformer.transformer.layers[1][2].fn.net[3].weight,
                       teacher.transformer.transformer.layers[1][2].fn.net[3].weight)  # fmt: skip
    assert torch.equal(mine.init_cam, teacher.init_cam)
    with pytest.raises(RequestError, match="other sizes"):
        copy_head(teacher, ManoHead(teacher.config.model_copy(update={"depth": 1}), 24))


def test_hamer_sees_the_middle_columns():
    net = HamerNet(VitConfig(32, 1, 2), ManoHead(from_hamer(small_hamer()).mano_head.config, 4).config).eval()
    crop = noise((1, 3, 256, 256), 1)
    beside = crop.clone()
    beside[..., :32] = beside[..., -32:] = 7
    with torch.no_grad():
        seen, other = net(crop), net(beside)
    assert seen[3].shape == (1, 32, 16, 12)
    assert all(torch.equal(a, b) for a, b in zip(seen, other, strict=True))
