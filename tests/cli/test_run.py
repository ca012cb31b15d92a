"""`edgekd run` as a person uses it."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from edgekd.apply.run import Outcome
from edgekd.cli.run import print_row
from edgekd.graph.images import find_folder, psnr, read_picture
from edgekd.schema.io import ClassesOutput, ImageInput, IoRecord
from edgekd.students.qdr.task import add_noise
from PIL import Image


@pytest.fixture
def noisy(tmp_path):
    """A picture that is no multiple of the network's 128 pixels, and its noisy twin in a folder with a broken file."""
    clean = read_picture(find_folder("edgekd:kodak") / "kodim11.png")[:200, :333]
    (tmp_path / "in").mkdir()
    Image.fromarray(add_noise(clean, 25.0, np.random.default_rng(0))).save(tmp_path / "in/pier.png")
    (tmp_path / "in/broken.png").write_bytes(b"no picture")
    return clean


def test_a_folder_is_restored_and_what_fails_is_told(jetson, cli, noisy, tmp_path):
    done = cli("run", jetson.folder, "in", "--out", "restored")
    assert done.returncode == 2
    assert done.stdout == "wrote restored/pier.png\n"
    assert "error: in/broken.png: picture `in/broken.png` cannot be decoded" in done.stderr
    restored = read_picture(tmp_path / "restored/pier.png")
    assert psnr(restored, noisy) > psnr(read_picture(tmp_path / "in/pier.png"), noisy) + 2


def test_engines_agree_on_tiles(jetson, cli, noisy, tmp_path):
    for engine in ("reference", "onnxruntime"):
        assert cli("run", jetson.folder, "in/pier.png", "--out", f"{engine}.png", "--engine", engine).returncode == 0
    apart = read_picture(tmp_path / "reference.png").astype(int) - read_picture(tmp_path / "onnxruntime.png")
    assert np.abs(apart).mean() < 0.1
    done = cli("run", jetson.folder, "in/pier.png", "--engine", "openvno")
    assert done.returncode == 2
    assert "did you mean `openvino`?" in done.stderr


@pytest.fixture
def sprites(classified, tmp_path):
    """Three test pictures of the classifier, one of them enlarged and in colour."""
    from edgekd.students.registry import bundled_task

    samples = bundled_task(classified.bundle).evalset()[:3]
    (tmp_path / "sprites").mkdir()
    for i, sample in enumerate(samples):
        image = Image.fromarray(sample.raw)
        image = image.resize((84, 84), Image.Resampling.NEAREST).convert("RGB") if i == 2 else image
        image.save(tmp_path / "sprites" / f"{i}.png")
    return samples


def test_classes_as_lines_csv_and_json(classified, cli, sprites, tmp_path):
    one = cli("run", classified.folder, "sprites/0.png")
    assert one.returncode == 0, one.stderr
    assert len(one.stdout.splitlines()) == 5
    several = cli("run", classified.folder, "sprites")
    rows = list(csv.DictReader(io.StringIO(several.stdout)))
    assert [row["source"] for row in rows] == [f"sprites/{i}.png" for i in range(3)]
    assert rows[0]["answer"] == one.stdout.split()[2]
    told = json.loads(cli("run", classified.folder, "sprites", "--json", "--out", "drawn").stdout)
    assert told["engine"] == "openvino"
    for row, answer in zip(rows, told["answers"], strict=True):
        label, value = next(iter(answer["answers"]["logits"].items()))
        assert (label, f"{value:.4f}") == (row["answer"], row["value"])
    assert json.loads((tmp_path / "drawn/answers.json").read_text())[0]["answers"] == told["answers"][0]["answers"]
    assert Image.open(tmp_path / "drawn/0.png").size == (196, 196)  # enlarged, so that the label can be read


def test_a_movie_is_a_row_of_the_csv(capsys):
    """A comma in its name stays in its cell."""
    spec = ImageInput(name="x", shape=(1, 1, 4, 4), color="L", mean=(0.0,), std=(1.0,))
    record = IoRecord(inputs=(spec,), outputs=(ClassesOutput(name="c", labels=("a", "b")),))
    print_row(Outcome("a, b.gif", [{"c": {"a": 1.0}}], Path("out/a, b.gif"), 1, 0.1), record)
    assert next(csv.reader([capsys.readouterr().out])) == ["a, b.gif", "", "1 pictures in out/a, b.gif", ""]


def test_a_resized_picture_has_the_answer_of_its_original(classified, cli, sprites):
    """Enlarged by whole pixels, it is stretched back to what it was."""
    from edgekd.apply.model import bundled_model

    model = bundled_model(classified.bundle, "reference")
    raw = sprites[2].raw
    np.testing.assert_allclose(model.answer(raw.repeat(3, 0).repeat(3, 1)), model.answer(raw), atol=0.15)


def test_a_model_file_made_elsewhere(cli, tmp_path):
    """Its guessed record takes pictures of its size alone; one that is given says what is seen and what it means."""
    from tests.verify.foreign_models import SHAPE, quantized

    path = quantized(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 90, 3)).astype(np.uint8)).save(tmp_path / "a.png")
    refused = cli("run", path, "a.png")
    assert refused.returncode == 2
    assert "note: the file has no io record; guessed" in refused.stderr
    assert "the network takes (16, 16)" in refused.stderr
    image = ImageInput(name="image", shape=SHAPE, mean=(0.0,) * 3, std=(1.0,) * 3, resize="letterbox")
    record = IoRecord(inputs=(image,), outputs=(ClassesOutput(name="logits", labels=tuple("abcde")),))
    (tmp_path / "io.json").write_text(record.model_dump_json())
    likeliest = {}
    for engine in ("reference", "onnxruntime", "openvino"):
        done = cli("run", path, "a.png", "--io", "io.json", "--engine", engine, "--json")
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        told = json.loads(done.stdout)
        assert told["engine"] == engine
        likeliest[engine] = next(iter(told["answers"][0]["answers"]["logits"].items()))
    assert {label for label, _ in likeliest.values()} == {likeliest["reference"][0]}
    np.testing.assert_allclose([v for _, v in likeliest.values()], likeliest["reference"][1], atol=0.05)
    (tmp_path / "io.json").write_text(record.model_dump_json().replace('"letterbox"', '"letterbx"'))
    wrong = cli("run", path, "a.png", "--io", "io.json")
    assert (wrong.returncode, "Traceback" in wrong.stderr) == (2, False)
    assert "'letterbox'" in wrong.stderr
    assert "not `letterbx`" in wrong.stderr
    assert "there is no engine `trt`" in cli("run", path, "a.png", "--engine", "trt").stderr


@pytest.fixture
def cells(segmented, tmp_path):
    """A picture of cells and the boxes of three of them."""
    from edgekd.students.registry import bundled_task

    task = bundled_task(segmented.bundle)
    chosen = [i for i in task.parts[1] if i.picture == task.parts[1][0].picture][:3]
    Image.fromarray(task.instances.picture(chosen[0].picture)).save(tmp_path / "cells.png")
    return [",".join(f"{v:g}" for v in instance.box) for instance in chosen]


def test_boxes_are_asked_for_and_drawn(segmented, cli, cells, tmp_path):
    refused = cli("run", segmented.folder, "cells.png")
    assert refused.returncode == 2
    assert "error: the network answers what a box holds, and there is no box" in refused.stderr
    assert "hint: give left, top, width, height in pixels, as `--box 40,30,120,80`" in refused.stderr
    options = [part for box in cells for part in ("--box", box)]
    done = cli("run", segmented.folder, "cells.png", *options)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(",")[0] for line in lines[::2]] == [f"box {c.split(',')[0]}" for c in cells] + ["wrote out.png"]
    whole, shown = Image.open(tmp_path / "cells.png"), Image.open(tmp_path / "out.png")
    assert shown.width % whole.width == 0
    assert shown.width / whole.width == shown.height / whole.height


def test_a_bare_model_file_answers_as_its_bundle(segmented, cli, cells, tmp_path):
    told = []
    for model in (segmented.folder, segmented.bundle.path / "graph.onnx"):
        done = cli("run", model, "cells.png", "--box", cells[0], "--engine", "reference", "--masks", "--json")
        assert done.returncode == 0, done.stderr
        told.append(json.loads(done.stdout)["answers"][0]["answers"])
    assert told[0] == told[1]
    labels = np.asarray(Image.open(tmp_path / "out.mask.png"))
    assert (labels == 1).sum() == told[0][0]["answers"]["logits"]["area"]


def test_boxes_in_a_table(segmented, cli, cells, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "in" / name).write_bytes((tmp_path / "cells.png").read_bytes())
    done = cli("run", segmented.folder, "in", "--box", cells[0], "--box", cells[1], "--out", "marked")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["source"] for row in rows] == ["in/a.png"] * 2 + ["in/b.png"] * 2
    assert [row["output"] for row in rows] == [f"logits in {box}" for box in cells[:2]] * 2
    assert all(row["answer"].endswith(" pixels") and 0 <= float(row["value"]) <= 1 for row in rows)
    told = json.loads((tmp_path / "marked/answers.json").read_text())
    assert told[0]["answers"][0]["region"]


def test_a_box_for_a_network_of_whole_pictures(classified, cli, sprites):
    done = cli("run", classified.folder, "sprites/0.png", "--box", "1,2,3,4")
    assert done.returncode == 2
    assert "the network takes whole pictures and no boxes" in done.stderr
    done = cli("run", classified.folder, "sprites/0.png", "--masks")
    assert done.returncode == 2
    assert "the network gives no mask" in done.stderr
