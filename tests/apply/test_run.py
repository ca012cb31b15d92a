"""What is named is answered and written; networks here are ones whose answers are known beforehand."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from edgekd.apply.model import Model
from edgekd.apply.run import Outcome, apply
from edgekd.errors import MissingError, Problem, RequestError
from edgekd.graph import answers
from edgekd.schema.io import ClassesOutput, ImageInput, ImageOutput, IoRecord, TensorOutput
from PIL import Image, ImageSequence

HALF = (0.5, 0.5, 0.5)


def model(*outputs, run, resize="tile", coder=answers):
    spec = ImageInput(name="x", shape=(1, 3, 24, 32), mean=HALF, std=HALF, resize=resize)
    return Model("known", IoRecord(inputs=(spec,), outputs=outputs), coder, run)


NEGATIVE = model(ImageOutput(name="y", mean=HALF, std=HALF), run=lambda x: {"y": -x["x"]})
BRIGHT = model(
    ClassesOutput(name="light", labels=("dark", "bright"), activation="sigmoid"),
    run=lambda x: {"light": np.array([[-4.0, 4.0]]) * np.sign(x["x"].mean())},
    resize="letterbox",
)
MEANS = model(TensorOutput(name="t"), run=lambda x: {"t": x["x"].mean((2, 3))}, resize="stretch")


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def save(path: Path, picture) -> Path:
    Image.fromarray(picture).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for i, size in enumerate([(24, 32), (1, 1), (3, 200), (70, 50)]):
        save(tmp_path / "in" / f"{i}.png", noise(*size, i))
    return tmp_path / "in"


def test_a_folder_gives_a_picture_for_each(folder, tmp_path):
    outcomes = list(apply(NEGATIVE, [folder], tmp_path / "out"))
    assert [Path(o.source).name for o in outcomes] == ["0.png", "1.png", "2.png", "3.png"]
    for i, size in enumerate([(24, 32), (1, 1), (3, 200), (70, 50)]):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"out/{i}.png")), 255 - noise(*size, i))
    assert not (tmp_path / "out/answers.json").exists()


def test_what_fails_does_not_stop_the_rest(folder, tmp_path):
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:40])
    outcomes = list(apply(NEGATIVE, [folder, tmp_path / "gone.png"], tmp_path / "out"))
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [Outcome, Problem, Outcome, Outcome, Problem]
    assert outcomes[1].where.endswith("1.png")
    assert outcomes[4].missing
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["0.png", "2.png", "3.png"]


def test_damaged_animations_and_huge_pictures_are_told(folder, tmp_path):
    """A GIF cut off in its second picture, and a PNG whose header promises 90,000 by 90,000 pixels."""
    frames = [Image.fromarray(noise(40, 40, seed)) for seed in range(3)]
    frames[0].save(folder / "cut.gif", save_all=True, append_images=frames[1:])
    whole = (folder / "cut.gif").read_bytes()
    (folder / "cut.gif").write_bytes(whole[: len(whole) // 2])
    header = b"IHDR" + struct.pack(">IIBBBBB", 90000, 90000, 8, 2, 0, 0, 0)
    png = (folder / "0.png").read_bytes()
    (folder / "huge.png").write_bytes(png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:])
    outcomes = list(apply(NEGATIVE, [folder], tmp_path / "out"))
    failed = [Path(o.where).name for o in outcomes if isinstance(o, Problem)]
    assert failed == ["cut.gif", "huge.png"]
    assert len(outcomes) == 6
    assert not (tmp_path / "out/cut.gif").exists()


def test_one_that_fails_raises_its_error(tmp_path):
    with pytest.raises(MissingError):
        list(apply(NEGATIVE, [tmp_path / "gone.png"], None))
    with pytest.raises(MissingError):
        list(apply(NEGATIVE, [tmp_path / "gone.mp4"], None))


def test_nothing_is_written_over(folder, tmp_path, monkeypatch):
    with pytest.raises(RequestError, match="written over"):
        list(apply(NEGATIVE, [folder / "0.png"], folder))
    other = save(tmp_path / "0.png", noise(24, 32))
    outcomes = list(apply(NEGATIVE, [folder / "0.png", other], tmp_path / "out"))
    assert [type(o) for o in outcomes] == [Outcome, Problem]
    with pytest.raises(RequestError, match="more than one answer"):
        list(apply(NEGATIVE, [folder], tmp_path / "out.png"))


def test_without_a_place_one_picture_is_out_png(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [o.wrote for o in apply(NEGATIVE, [folder / "0.png"], None)] == [Path("out.png")]
    assert [o.wrote for o in apply(NEGATIVE, [folder / "0.png", folder / "1.png"], None)][1] == Path("out/1.png")
    assert [o.wrote for o in apply(BRIGHT, [folder / "0.png"], None)] == [None]


def test_classes_are_drawn_and_told(tmp_path):
    (tmp_path / "in").mkdir()
    save(tmp_path / "in/day.png", np.full((400, 40, 3), 250, np.uint8))
    save(tmp_path / "in/night.png", np.full((30, 40, 3), 5, np.uint8))
    outcomes = list(apply(BRIGHT, [tmp_path / "in"], tmp_path / "out"))
    told = json.loads((tmp_path / "out/answers.json").read_text())
    assert [entry["answers"] for entry in told] == [o.answers for o in outcomes]
    values = {Path(entry["source"]).stem: entry["answers"]["light"] for entry in told}
    assert list(values["night"]) == ["dark", "bright"]
    assert values["night"]["dark"] == pytest.approx(1 / (1 + np.exp(-4)), rel=1e-6)
    drawn = np.asarray(Image.open(tmp_path / "out/night.png"))
    assert (drawn > 200).any()


def test_tensors_are_arrays(tmp_path):
    picture = save(tmp_path / "a.png", np.full((9, 9, 3), 255, np.uint8))
    (outcome,) = apply(MEANS, [picture, picture][:1], tmp_path / "out")
    with np.load(tmp_path / "out/a.npz") as file:
        np.testing.assert_allclose(file["answer"], [1, 1, 1])
    assert outcome.answers == {"t": [1.0, 1.0, 1.0]}


def test_a_task_draws_as_it_likes(tmp_path):
    class Coder:
        encode, decode = staticmethod(answers.encode), staticmethod(answers.decode)

        def draw(self, raw, prediction):
            return np.full_like(raw, 10 + 100 * prediction[0])

    picture = save(tmp_path / "a.png", np.full((9, 9, 3), 255, np.uint8))
    own = model(TensorOutput(name="t"), run=MEANS.run, resize="stretch", coder=Coder())
    list(apply(own, [picture], tmp_path / "out"))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out/a.png")), np.full((9, 9, 3), 110))


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_an_animation_stays_one(suffix, tmp_path):
    frames = [Image.fromarray(np.full((20, 30, 3), value, np.uint8)) for value in (0, 128, 240)]
    path = tmp_path / f"a.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100, 200, 300], loop=0, lossless=True)
    (outcome,) = apply(NEGATIVE, [path], None)
    assert outcome.wrote == tmp_path / f"a-out.{suffix}"
    assert (outcome.frames, len(outcome.answers)) == (3, 3)
    with Image.open(outcome.wrote) as image:
        means = [(np.asarray(f.convert("RGB")).mean(), f.info["duration"]) for f in ImageSequence.Iterator(image)]
    np.testing.assert_allclose(means, [(255, 100), (127, 200), (15, 300)], atol=2)
    (short,) = apply(NEGATIVE, [path], tmp_path / "short.gif", limit=2)
    assert short.frames == 2


def test_a_folder_does_not_fill_with_its_own_answers(folder, tmp_path, monkeypatch):
    """Animations are answered where they lie among pictures, and their answers go where the others' do."""
    monkeypatch.chdir(tmp_path)
    frames = [Image.fromarray(noise(24, 32, seed)) for seed in range(2)]
    for name in ("9.gif", "9.webp"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    before = sorted(path.name for path in folder.iterdir())
    wrote = [str(outcome.wrote) for outcome in apply(NEGATIVE, [folder], None)]
    assert wrote == [f"out/{name}" for name in before]
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize("size", [(24, 32), (10, 10), (50, 60)])
def test_tiles_of_another_size_are_refused(size, tmp_path):
    """Answers twice as large would be cut, or laid in wrong places."""
    larger = model(ImageOutput(name="y", mean=HALF, std=HALF), run=lambda x: {"y": x["x"].repeat(2, 2).repeat(2, 3)})
    with pytest.raises(RequestError, match=r"`y` has \(48, 64\) pixels, so tiles of \(24, 32\)"):
        list(apply(larger, [save(tmp_path / "a.png", noise(*size))], None))


def test_a_picture_must_have_the_size_where_nothing_is_resized(tmp_path):
    strict = model(ImageOutput(name="y", mean=HALF, std=HALF), run=NEGATIVE.run, resize="none")
    with pytest.raises(RequestError, match="the network takes"):
        list(apply(strict, [save(tmp_path / "a.png", noise(24, 31))], tmp_path))
