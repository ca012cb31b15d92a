"""Small sets of FreiHAND's and HO-3D's layouts, and HaMeR's tars, as the tests write them."""

from __future__ import annotations

import io
import json
import pickle
import tarfile

import numpy as np
import pytest
from edgekd.errors import MissingError, RequestError
from edgekd.students.fast_hamer.config import DataConfig
from edgekd.students.fast_hamer.crop import crop_of, labels_in
from edgekd.students.fast_hamer.data.load import load
from PIL import Image

CAMERA = [[200.0, 0, 50], [0, 210, 40], [0, 0, 1]]
HO3D_ORDER = [0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3, 4, 8, 12, 16, 20]
"""Landmarks in the usual order that HO-3D's are, one after the other."""
QUARTER = [0, 0, np.pi / 2]


def save(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (100, 80), (number * 10, 0, 0)).save(path)


def joints(*shape):
    return np.random.default_rng(len(shape)).normal(0, 0.04, (*shape, 21, 3)) + np.array([0, 0, 0.6])


def mano_config(folder, **more):
    return DataConfig(source=str(folder), hand="MANO_RIGHT.pkl", **more)


@pytest.fixture
def freihand(tmp_path):
    for part, hands, pictures in (("training", 3, 12), ("evaluation", 2, 2)):
        xyz = joints(hands)
        mano = np.zeros((hands, 1, 61))
        mano[:, 0, 48:58] = np.arange(10)
        tables = {
            "xyz": xyz, "K": np.tile(CAMERA, (hands, 1, 1)), "mano": mano, "verts": np.resize(xyz, (hands, 778, 3)),
        }  # fmt: skip
        for name, table in tables.items():
            (tmp_path / f"{part}_{name}.json").write_text(json.dumps(table.tolist()))
        for i in range(pictures):
            save(tmp_path / part / "rgb" / f"{i:08d}.jpg", i)
    return tmp_path


def test_freihand(freihand):
    hands = load(mano_config(freihand))
    assert (len(hands.training), len(hands.test)) == (12, 2)
    assert [hand.picture for hand in hands.training + hands.test] == list(range(14))
    one, version = hands.training[1], hands.training[7]
    xyz = joints(3)
    assert one.joints[:, :3] == pytest.approx(xyz[1], abs=1e-6)
    assert (version.joints == one.joints).all()
    x, y, z = xyz[1, 4]
    assert one.pixels[4] == pytest.approx([200 * x / z + 50, 210 * y / z + 40, 1], abs=1e-3)
    assert abs(labels_in(crop_of(one), one)["pixels"]).max() == pytest.approx(0.25)
    assert one.shape.tolist() == list(range(10))
    assert one.vertices.shape == (778, 3)
    assert hands.picture(7)[0, 0, 0] == pytest.approx(70, abs=4)
    assert hands.picture(13)[0, 0, 0] == pytest.approx(10, abs=4)


def test_meshes_of_mano_are_not_those_of_another_model(freihand):
    one = load(DataConfig(source=str(freihand))).training[0]
    assert one.joints is not None
    assert (one.vertices, one.shape, one.rotations) == (None, None, None)


def test_freihand_that_lacks_something(freihand):
    (freihand / "training" / "rgb" / "00000011.jpg").unlink()
    with pytest.raises(RequestError, match="holds 11 pictures of 3 hands"):
        load(mano_config(freihand))
    (freihand / "training_K.json").write_text(json.dumps([CAMERA]))
    with pytest.raises(RequestError, match="tells of 1 hands, not 3"):
        load(mano_config(freihand))
    (freihand / "training_K.json").write_text("[[1, 2")
    with pytest.raises(RequestError, match=r"training_K\.json` is damaged"):
        load(mano_config(freihand))
    (freihand / "training_K.json").write_text("[[1, 2], [1, 2]]")
    with pytest.raises(RequestError, match="no table of"):
        load(mano_config(freihand))
    (freihand / "training_K.json").unlink()
    with pytest.raises(MissingError, match=r"training_K\.json` does not exist"):
        load(mano_config(freihand))


@pytest.fixture
def ho3d(tmp_path):
    """Two frames of a part each, one without a hand; camera and joints in OpenGL's axes."""
    xyz = joints(2) * [1, -1, -1]
    for part, frames in (("train", ("A1/0000", "A1/0001", "B2/0000")), ("evaluation", ("C/0007", "C/0008"))):
        (tmp_path / f"{part}.txt").write_text("\n".join(frames) + "\n")
        for i, frame in enumerate(frames):
            sequence, name = frame.split("/")
            save(tmp_path / part / sequence / "rgb" / f"{name}.{'png' if i else 'jpg'}", i)
            known = xyz[i % 2][HO3D_ORDER]
            meta = {"camMat": np.array(CAMERA), "handJoints3D": known, "objName": "cup", "handPose": np.zeros(48)}
            meta["handPose"][:3] = QUARTER
            meta["handBeta"] = np.arange(10.0)
            if part == "evaluation":
                meta = {"camMat": np.array(CAMERA), "handJoints3D": known[0], "handBoundingBox": [10, 20, 40, 70]}
            if frame == "A1/0001":
                meta |= {"handJoints3D": None, "handPose": None, "handBeta": None}
            path = tmp_path / part / sequence / "meta" / f"{name}.pkl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pickle.dumps(meta, 2))
    (tmp_path / "evaluation_xyz.json").write_text(json.dumps(xyz[:, HO3D_ORDER].tolist()))
    return tmp_path


def test_ho3d(ho3d):
    hands = load(mano_config(ho3d))
    assert [hand.id for hand in hands.training] == ["train-A1-0000", "train-B2-0000"]
    xyz = joints(2)
    for hand, wanted in zip(hands.training + hands.test, xyz[[0, 0, 0, 1]], strict=True):
        assert hand.joints[:, :3] == pytest.approx(wanted, abs=1e-6)
        x, y, z = wanted[9]
        assert hand.pixels[9] == pytest.approx([200 * x / z + 50, 210 * y / z + 40, 1], abs=1e-3)
    assert [hands.picture(i)[0, 0, 0] // 10 for i in range(4)] == [0, 2, 0, 1]
    one, test = hands.training[0], hands.test[0]
    assert one.rotations[0] == pytest.approx(np.diag([1, -1, -1]) @ [[0, -1, 0], [1, 0, 0], [0, 0, 1]], abs=1e-6)
    assert one.rotations[5] == pytest.approx(np.eye(3))
    assert one.shape.tolist() == list(range(10))
    assert (test.centre, test.size) == ((25, 45), 100)


def test_ho3d_that_lacks_something(ho3d):
    meta = ho3d / "train" / "A1" / "meta" / "0000.pkl"
    whole = meta.read_bytes()
    meta.write_bytes(whole[:-30])
    with pytest.raises(RequestError, match=r"0000\.pkl` is damaged"):
        load(mano_config(ho3d))
    meta.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(RequestError, match=r"names `os\.system`"):
        load(mano_config(ho3d))
    meta.write_bytes(pickle.dumps({"handJoints3D": np.zeros((20, 3)), "camMat": np.eye(3)}))
    with pytest.raises(RequestError, match=r"`A1/0000` have no `handJoints3D` of shape \[21, 3\]"):
        load(mano_config(ho3d))
    meta.unlink()
    with pytest.raises(MissingError, match=r"0000\.pkl` does not exist"):
        load(mano_config(ho3d))
    meta.write_bytes(whole)
    (ho3d / "evaluation_xyz.json").unlink()
    with pytest.raises(MissingError, match=r"evaluation_xyz\.json` does not exist"):
        load(mano_config(ho3d))
    (ho3d / "train.txt").write_text("../../etc/passwd\n")
    with pytest.raises(RequestError, match="no frame of a sequence"):
        load(mano_config(ho3d))


def label(number, **more):
    pixels = np.column_stack([np.full((21, 2), number), np.ones(21)]).astype(np.float32)
    return {
        "keypoints_2d": pixels, "keypoints_3d": np.column_stack([joints(), np.ones(21)]).astype(np.float32),
        "center": np.array([50.0, 40.0]), "scale": np.array([0.3, 0.2]), "hand_pose": np.r_[QUARTER, np.zeros(45)],
        "betas": np.full(10, 0.5), "right": np.array(1.0), "has_hand_pose": np.array(1.0), "has_betas": np.array(1.0),
        "extra_info": {"fitting_loss": np.array({"loss": 1.0})},
    } | more  # fmt: skip


def write_tar(path, members):
    with tarfile.open(path, "w") as file:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))


def members(name, labels, colour=0):
    picture = io.BytesIO()
    Image.new("RGB", (100, 80), (colour, 0, 0)).save(picture, "jpeg")
    return [(f"{name}.jpg", picture.getvalue()), (f"{name}.data.pyd", pickle.dumps(labels, 5))]


@pytest.fixture
def tars(tmp_path):
    """Two tars of sixty pictures; the first picture has two hands."""
    for k in range(2):
        pairs = [members(f"set/{i:04d}", [label(i)], k * 60 + i) for i in range(60)]
        if k == 0:
            pairs[0] = members("set/0000", [label(0), label(1, right=np.array(0.0))])
        write_tar(tmp_path / f"{k:06d}.tar", [member for pair in pairs for member in pair])
    return tmp_path


def test_tars(tars):
    hands = load(mano_config(tars, split=1))
    assert len(hands.training) + len(hands.test) < 121
    assert not {hand.picture for hand in hands.training} & {hand.picture for hand in hands.test}
    first, second = hands.training[:2]
    assert (first.id, second.id) == ("000000-set-0000-0", "000000-set-0000-1")
    assert (first.right, second.right) == (True, False)
    assert (first.centre, first.size) == ((50, 40), pytest.approx(80))
    assert first.joints[:, :3] == pytest.approx(joints(), abs=1e-6)
    assert first.rotations[0] == pytest.approx(np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]), abs=1e-6)
    for hand in (hands.training[-1], hands.test[-1]):
        assert hands.picture(hand.picture)[0, 0, 0] == pytest.approx(hand.picture, abs=3)
        assert hand.pixels[0, 0] == hand.picture % 60


def test_labels_are_filtered_as_hamers_training_does(tars):
    unsure = label(0)["keypoints_2d"].copy()
    unsure[5:, 2] = 0.29
    few = unsure.copy()
    few[4:, 2] = 0
    odd = [
        label(0, keypoints_2d=unsure), label(0, keypoints_2d=few), label(0, scale=np.zeros(2)),
        label(0, betas=np.r_[3.1, np.zeros(9)]), label(0, has_hand_pose=np.array(0.0)),
    ]  # fmt: skip
    pairs = [member for i in range(100) for member in members(f"{i}", odd)]
    write_tar(tars / "000000.tar", pairs)
    (tars / "000001.tar").unlink()
    hands = load(mano_config(tars / "000000.tar"))
    assert [hand.id[-1] for hand in hands.training[:4]] == ["0", "3", "4", "0"]
    sure, shaped, posed = hands.training[:3]
    assert (sure.pixels[:, 2] > 0).sum() == 5
    assert shaped.shape is None
    assert (posed.rotations, posed.shape is None) == (None, False)


def test_hands_that_are_not_known_in_space_train_but_do_not_test(tars):
    """A set of HaMeR's may know its landmarks in the picture alone, or all but one of them in space."""
    flat, most = (label(0)["keypoints_3d"].copy() for _ in range(2))
    flat[:, 3] = most[20, 3] = 0
    labels = [label(0, keypoints_3d=flat), label(0), label(0, keypoints_3d=most)]
    for name in ("000000.tar", "000001.tar"):
        write_tar(tars / name, [member for i in range(60) for member in members(f"{i}", labels)])
    hands = load(mano_config(tars))
    assert {hand.id[-1] for hand in hands.training} == {"0", "1", "2"}
    assert {hand.id[-1] for hand in hands.test} == {"1"}
    for name in ("000000.tar", "000001.tar"):
        write_tar(tars / name, [member for i in range(60) for member in members(f"{i}", labels[:1])])
    with pytest.raises(RequestError, match="no hand to test on, all its landmarks known"):
        load(mano_config(tars))


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (members("a", [label(0)])[:1], r"`a` of .* has no `data\.pyd`"),
        (members("a", [label(0)])[1:], "`a` of .* has no picture"),
        ([("readme.md", b"hello")], "holds no pairs"),
        (members("a", {"right": 1}), "is no list of hands"),
        (members("a", [label(0, betas=np.zeros(9))]), r"has no `betas` of shape \[10\]"),
        (members("a", [{"right": 1}]), "has no `keypoints_2d`"),
        ([members("a", [])[0], ("a.data.pyd", b"cos\nsystem\n(S'true'\ntR.")], r"names `os\.system`"),
    ],
)
def test_tars_that_do_not_fit_are_told(tmp_path, pairs, told):
    write_tar(tmp_path / "a.tar", pairs)
    with pytest.raises(RequestError, match=told):
        load(mano_config(tmp_path))


def test_a_cut_off_tar_is_told(tars):
    path = tars / "000001.tar"
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(RequestError, match=r"000001\.tar` is damaged"):
        load(mano_config(tars))
