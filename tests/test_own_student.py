"""The page about a student of one's own, run as it is written; and networks with several inputs and outputs."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from edgekd.evidence import Bundle
from edgekd.pipeline import Result, resolve, run
from edgekd.verify.check import verify
from PIL import Image

from tests.conftest import command

PAGE = Path(__file__).parents[1] / "docs/your-own-student.md"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A folder with the page's files and pictures."""
    folder = tmp_path_factory.mktemp("own")
    net, recipe, pictures = re.findall(r"```(?:python|toml)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[:3]
    (folder / "my_net.py").write_text(net)
    (folder / "my.toml").write_text(recipe)
    subprocess.run([sys.executable, "-c", pictures], cwd=folder, check=True)
    return folder


WITHOUT_TORCH = (
    "import sys\nsys.modules['torch'] = None\nsys.argv = ['edgekd', *sys.argv[1:]]\nfrom edgekd.cli import main\nmain()"
)


def call(folder: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(*args), cwd=folder, capture_output=True, text=True, check=False)


def test_the_page_as_written(written):
    commands = re.findall(r"^edgekd (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [line.split()[0] for line in commands] == ["compress", "verify", "run"]
    compress, check, answer = (line.split() for line in commands)
    done = call(written, *compress)
    assert done.returncode == 0, done.stderr
    assert "accuracy %" in done.stdout
    bundle = Bundle(written / "runs/latest")
    assert bundle.manifest.recipe.student == "student/my_net.py:MyStudent"
    assert "student/my_net.py" in bundle.manifest.files
    (written / "my_net.py").rename(written / "moved.py")  # the bundle has its own copy
    done = call(written, *check)
    assert done.returncode == 0, done.stderr
    done = call(written, *answer)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5
    assert sum(float(line.split()[1]) for line in done.stdout.splitlines()) <= 1.0001
    assert sorted(bundle.changed()) == []
    code = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, "verify", bundle.run], capture_output=True, text=True)
    assert code.returncode == 3
    assert code.stderr == "error: `my_net.py` needs `torch`\nhint: pip install 'edgekd[train]'\n"
    files = {str(p.relative_to(bundle.path)) for p in bundle.path.rglob("*") if p.is_file()}
    assert files - {"manifest.json"} == set(bundle.manifest.files)  # no bytecode was left there


TASK = """
import numpy as np
from edgekd.schema.io import ClassesOutput, ImageInput, ImageOutput, IoRecord, TensorOutput
from edgekd.students.base import Sample
from edgekd.students.simple import SimpleTask


def draw(rng):
    "A colour picture and a grey one, each of one brightness; which is brighter, and both."
    a, b = rng.integers(0, 256, 2)
    return np.full((16, 16, 3), a, np.uint8), np.full((16, 16), b, np.uint8), int(b > a), np.array([a, b]) / 255


class Task(SimpleTask):
    metric = "right"

    def folders(self):
        return ()

    def io(self, shape):
        rgb = ImageInput(name="left", shape=(1, 3, *shape), mean=(0.5,) * 3, std=(0.5,) * 3)
        grey = ImageInput(name="right", shape=(1, 1, *shape), color="L", mean=(0.5,), std=(0.5,))
        which = ClassesOutput(name="brighter", labels=("left", "right"))
        seen = ImageOutput(name="seen", mean=(0.5,), std=(0.5,))
        return IoRecord(inputs=(rgb, grey), outputs=(which, TensorOutput(name="level"), seen))

    def evalset(self):
        rows = [draw(np.random.default_rng([7, i])) for i in range(12)]
        return [Sample(id=str(i), raw={"left": a, "right": b}, truth=(c, d)) for i, (a, b, c, d) in enumerate(rows)]

    def score(self, prediction, truth):
        near = 1.0 - float(np.abs(prediction["level"] - truth[1]).mean())
        return {"near": near, "right": float(prediction["brighter"].argmax() == truth[0])}
"""
NET = """
from edgekd.students.simple import SimpleStudent
from torch import nn
from two_task import Task, draw


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(1, 8, 3, padding=1)
        self.head, self.level, self.seen = nn.Linear(8, 2), nn.Linear(8, 2), nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, left, right):
        both = self.left(left).relu() + self.right(right).relu()
        mean = both.mean((2, 3))
        return self.head(mean), self.level(mean), self.seen(both)


class Two(SimpleStudent):
    def io(self, shape):
        return Task({}, 0).io(shape)

    def build(self):
        return Net()

    def sample(self, rng):
        left, right, which, level = draw(rng)
        return {"left": left, "right": right, "which": which, "level": level}

    def loss(self, outputs, batch):
        brighter, level, seen = outputs
        which = nn.functional.cross_entropy(brighter, batch["which"])
        return which + (level - batch["level"]).square().mean() + (seen - batch["right"]).square().mean()
"""
RECIPE = """
schema = 1
student = "nets/two.py:Two"
task = "nets/two_task.py:Task"
ship = "int8"
threads = 1
train = { steps = 80, lr = 1e-2 }
quantize = { steps = 20, lr = 1e-3 }
deploy = { shape = [16, 16], probes = 2 }
arms = { fp32 = { method = "teach" }, int8 = { method = "qat" } }
gates = { min_retained = 0.8, max_engine_drop = 0.1, max_engine_drop_worst = 1.0 }
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Result:
    folder = tmp_path_factory.mktemp("two")
    (folder / "nets").mkdir()
    (folder / "nets/two.py").write_text(NET)
    (folder / "nets/two_task.py").write_text(TASK)
    (folder / "two.toml").write_text(RECIPE)
    return run(*resolve(folder / "two.toml", "jetson", ()), folder / "runs")


@pytest.mark.parametrize("target", ["x86", "x86:onnxruntime", "raspberry-pi-5"])
def test_two_inputs_and_three_outputs_through_the_whole_chain(two, target, cli):
    """Trained, compiled, every hop compared, scored, timed where this host is meant, and looked at again."""
    base = two.folder.parent
    result = run(*resolve(base.parent / "two.toml", target, ("profile.runs=20",)), base)
    assert result.verification.failures == []
    hops = {hop.name: {t.tensor for t in hop.tensors} for hop in result.verification.hops}
    assert all({"brighter", "level", "seen"} <= names for name, names in hops.items() if "training" not in name)
    assert {f.name for f in result.figures} >= {"right", "near", "parity", "macs"}
    assert any(f.name == "latency" for f in result.figures) is target.startswith("x86")
    for verb in ("verify", "bench", "inspect"):
        done = cli(verb, result.folder, *(["--runs", "20"] if verb == "bench" else []))
        assert done.returncode == 0, done.stderr


def test_several_inputs_and_outputs(two):
    assert two.verification.failures == []
    assert list(two.verification.scores) == ["fp32", "int8", "onnxruntime", "openvino"]
    assert two.verification.scores["fp32"].mean("right") > 0.7
    assert next(iter(two.verification.scores["int8"].values)) == "right"
    names = {t.tensor for hop in two.verification.hops for t in hop.tensors}
    assert {"brighter", "level", "seen"} <= names
    told = json.loads((two.folder / "pictures/answers.json").read_text())
    assert all(
        re.fullmatch(r"brighter: (left|right) \d+%; level: .*; seen: uint8 16 x 16", t["answers"]["int8"]) for t in told
    )


def test_the_task_has_a_folder_of_its_own(two):
    assert {"student/two.py", "student/two_task.py", "task/two_task.py"} <= set(two.bundle.manifest.files)
    assert two.bundle.manifest.name.startswith("two-jetson")


def test_a_task_of_numpy_alone_is_verified_without_torch(two):
    code = [sys.executable, "-c", WITHOUT_TORCH, "verify", two.folder]
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "right" in done.stdout


def test_a_picture_for_each_input(two, cli, tmp_path):
    Image.fromarray(np.full((16, 16, 3), 250, np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.full((16, 16), 5, np.uint8)).save(tmp_path / "b.png")
    done = cli("run", two.folder, "a.png", "b.png", "--out", "answer.npz")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[2] == "left"
    with np.load(tmp_path / "answer.npz") as file:
        assert {name: file[name].shape for name in file.files} == {"brighter": (2,), "level": (2,), "seen": (16, 16)}
    done = cli("run", two.folder, "a.png")
    assert done.returncode == 2
    assert "takes 2 pictures, not 1" in done.stderr


def test_a_changed_copy_is_not_run(two, tmp_path):
    bundle = Bundle(shutil.copytree(two.folder, tmp_path / "copy"))
    mark = tmp_path / "ran"
    path = bundle.path / "task/two_task.py"
    path.write_text(f"open({str(mark)!r}, 'w').close()\n" + path.read_text())
    assert [(p.where, p.message.split(":")[0]) for p in verify(bundle).failures] == [("task/two_task.py", "unchanged")]
    assert not mark.exists()


def test_a_change_in_the_file_is_a_change_of_the_keys(two, tmp_path):
    from edgekd.plan import check_key, make_plan

    shutil.copytree(two.folder.parent.parent / "nets", tmp_path / "nets", ignore=shutil.ignore_patterns("__pycache__"))
    recipe = tmp_path / "two.toml"
    recipe.write_text(RECIPE)
    same = make_plan(*resolve(recipe, "jetson", ()))
    assert {name: str(step.key) for name, step in same.steps.items()} == two.bundle.manifest.steps
    assert same.name == two.bundle.manifest.name  # wherever the file lies
    checked = check_key(same)
    (tmp_path / "nets/two.py").write_text(NET.replace("nn.Linear(8, 2), nn", "nn.Linear(8, 2, bias=True), nn"))
    other = make_plan(*resolve(recipe, "jetson", ()))
    assert check_key(other) != checked
    assert not {s.key for s in other.steps.values()} & {s.key for s in same.steps.values()}
