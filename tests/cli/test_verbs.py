"""The verbs as a person uses them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import tiny_set


def modules_after(*args: str) -> set[str]:
    """Names of the modules that a command has imported when it ends."""
    code = (
        "import sys\nsys.argv = ['edgekd', *sys.argv[1:]]\nfrom edgekd.cli import main\n"
        "try:\n    main()\nexcept SystemExit as e:\n    assert not e.code\n"
        "print('MODULES', *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
    return set(done.stderr.rpartition("MODULES")[2].split())


@pytest.mark.parametrize(
    "args", [("--help",), ("targets",), ("targets", "jetson"), ("students",), ("doctor",), ("compress", "--help")]
)
def test_light_verbs_do_not_import_torch(args):
    assert not {"torch", "onnxruntime", "openvino", "matplotlib"} & modules_after(*args)


def test_targets_lists_every_board(cli):
    listed = json.loads(cli("targets", "--json").stdout)
    assert {b["name"] for b in listed} == {
        "jetson-orin-nano",
        "jetson-orin-nx",
        "jetson-agx-orin",
        "x86",
        "x86-avx2",
        "raspberry-pi-5",
        "imx500",
    }
    shown = cli("targets", "jetson").stdout
    assert "TensorRT" in shown
    assert "sources" in shown


def test_init_writes_a_recipe_that_works_and_never_overwrites(cli, tmp_path):
    assert cli("init", "qdr").returncode == 0
    text = (tmp_path / "qdr.toml").read_text()
    assert text.count("#") > 15
    again = cli("init", "qdr")
    assert again.returncode == 2
    assert "exists already" in again.stderr
    assert cli("init", "qdr", "other.toml").returncode == 0
    bad = cli("compress", "other.toml", "--target", "jetson", "--set", "quantise.steps=2")
    assert "did you mean `quantize`?" in bad.stderr


def test_students_lists_ours_and_says_how_to_bring_ones_own(cli):
    assert set(json.loads(cli("students", "--json").stdout)) == {"qdr", "classifier", "fast-hamer", "picosam3", "pqkd"}
    assert 'student = "my_net.py:MyStudent"' in cli("students").stdout
    assert 'student = "classifier"' in cli("students", "classifier").stdout


def test_doctor_tells_what_is_possible(cli):
    found = json.loads(cli("doctor", "--json").stdout)
    assert found["packages"]["torch"] != "absent"
    assert found["targets"]["x86"]["compile"] == ["openvino", "onnxruntime"]
    assert found["targets"]["jetson-orin-nano"]["measure here"] is False


def test_inspect_and_run(jetson, cli, tmp_path):
    shown = cli("inspect", jetson.folder)
    assert shown.returncode == 0
    assert "graph.onnx" in shown.stdout
    assert "changed" not in shown.stdout
    assert json.loads(cli("inspect", jetson.folder, "--json").stdout)["changed"] == []
    graph = json.loads(cli("inspect", jetson.bundle.path / "graph.onnx", "--json").stdout)
    assert graph["parameters"] == 258_647
    convolutions = [layer for layer in graph["layers"] if layer["operator"] == "Conv"]
    assert len(convolutions) == 32
    assert all(layer["arithmetic"] == "int8" and layer["head_room"] > 3 for layer in convolutions)
    assert "bits left" in cli("inspect", jetson.bundle.path / "arms/fp32.onnx").stdout
    noisy = np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    Image.fromarray(noisy).save(tmp_path / "in.png")
    answers = []
    for engine in ("reference", "onnxruntime", "openvino"):
        done = cli("run", jetson.folder, "in.png", "--out", f"{engine}.png", "--engine", engine)
        assert done.returncode == 0, done.stderr
        answers.append(np.asarray(Image.open(tmp_path / f"{engine}.png")).astype(int))
    assert answers[0].shape == (128, 128, 3)
    assert np.abs(answers[0] - answers[1]).mean() < 0.1
    assert np.abs(answers[0] - answers[2]).mean() < 0.1
    kit = cli("run", jetson.folder, "in.png", "--engine", "tensorrt")
    assert kit.returncode == 3


def test_bench_shows_no_latency_of_stand_ins_but_that_of_this_host(jetson, x86_run, cli, tmp_path):
    shown = cli("bench", shutil.copytree(jetson.folder, tmp_path / "a"))
    assert shown.returncode == 0
    assert "no latency" in shown.stdout
    figures = json.loads(cli("bench", shutil.copytree(x86_run.folder, tmp_path / "b"), "--json").stdout)["figures"]
    assert [f["subject"] for f in figures if f["name"] == "latency"] == ["fp32", "openvino"]


def test_json_is_all_there_is_on_stdout(classified, store, cli):
    done = cli("compress", "classifier", "--target", "x86", "--json", "--out", store, *tiny_set())
    assert done.returncode == 0
    assert Path(json.loads(done.stdout)["report"]).exists()
    assert done.stderr == ""


@pytest.fixture(scope="session")
def bare(tmp_path_factory) -> Path:
    """An environment with the built wheel and nothing that trains."""
    root, folder = Path(__file__).parents[2], tmp_path_factory.mktemp("bare")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=root,
        check=True,
        capture_output=True,
    )
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    pip = [folder / "venv/bin/pip", "install", "-q", "-c", root / "constraints.txt", next(folder.glob("*.whl"))]
    subprocess.run(pip, check=True, capture_output=True)
    return folder / "venv/bin"


def test_without_extras_a_bundle_is_verified_and_benched(jetson, x86_run, bare, tmp_path):
    """`pip install edgekd`: no torch, no OpenVINO; the data of the recipe come with the wheel."""

    def call(*args: object) -> "subprocess.CompletedProcess[str]":
        environment = {"PATH": os.environ["PATH"], "NO_COLOR": "1"}
        return subprocess.run(
            [str(bare / "edgekd"), *map(str, args)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            check=False,
        )

    listed = subprocess.run([bare / "pip", "list"], capture_output=True, text=True, check=True).stdout.lower()
    assert "torch" not in listed
    assert "openvino" not in listed
    run = shutil.copytree(jetson.folder, tmp_path / "run")
    done = call("verify", run)
    assert done.returncode == 0, done.stderr
    assert "training → integer reference" in done.stdout
    assert "integer reference → onnxruntime" in done.stdout
    assert "not looked at here: openvino `openvino` is not installed" in done.stdout
    assert call("inspect", run).returncode == 0
    assert "macs" in call("bench", run).stdout
    asked = call("compress", "--target", "jetson")
    assert asked.returncode == 3
    assert "edgekd[train]" in asked.stderr
    assert call("targets").returncode == 0
