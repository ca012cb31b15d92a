"""What a person reads after a mistake: kept as snapshots, so that a change of words is seen and decided."""

import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import TINY, command, tiny_set


def told(done: "subprocess.CompletedProcess[str]", *folders: Path) -> str:
    """Exit code, stdout and stderr, with what differs between machines taken out."""
    text = f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    for folder in folders:
        text = text.replace(str(folder), "FOLDER")
    return re.sub(r"[0-9a-f]{16}", "KEY", text)


@pytest.mark.parametrize(
    "args",
    [
        ["compress", "--target", "jetsn"],
        ["compress", "--target", "x86:openvno"],
        ["compress", "qdrr", "--target", "jetson"],
        ["compress"],
        ["compress", "qdr", "--student", "classifier", "--target", "jetson"],
        ["compress", "--student", "classifer", "--target", "jetson"],
        ["compress", "classifier", "--target", "x86", "--set", "data.source=gone.npz"],
        ["init", "my_net.py:MyStudent"],
        ["comprss", "--target", "jetson"],
        ["compress", "--target", "jetson", "--sett", "a=1"],
        ["compress", "--target", "jetson", "--set", "train.stps=10"],
        ["compress", "--target", "jetson", "--set", "train.steps=many"],
        ["compress", "--target", "jetson", "--set", "train.steps=0"],
        ["compress", "--target", "jetson", "--set", "nothing"],
        ["compress", "--target", "jetsn", "--set", "train.stps=10", "--set", "quantize.lr=fast", "--set", "x=1"],
        [
            "compress",
            "--target",
            "jetson",
            "--set",
            "model.size=xxl",
            "--set",
            "data.sigm=3",
            "--set",
            "data.train=gone",
        ],
        ["compress", "--target", "jetson", "--set", "data.eval=gone"],
        ["compress", "--target", "jetson", "--set", "deploy.shape=[128, 128]"],
        ["compress", "--target", "jetson", "--set", "ship=fp32"],
        ["compress", "--target", "jetson", "--set", "arms.ptq.set={train={stps=1}}"],
        ["compress", "--target", "jetson", "--set", "ship=ptq-nncf"],
        ["compress", "--target", "jetson", "--set", "quantize.keep={head=3}"],
        ["compress", "--target", "jetson", "--json", "--set", "quantize.keep={heda='float'}"],
        ["sensitivity", "gone"],
        ["sensitivity", "gone", "--write", "mixed.toml"],
        ["compress", "gone.toml", "--target", "jetson"],
        ["compress", "--target", "gone.toml"],
        ["verify", "gone"],
        ["bench", "gone"],
        ["students", "qd"],
        ["init", "qdz"],
    ],
    ids=lambda args: " ".join(args),
)
def test_mistakes(args, cli, tmp_path, snapshot):
    assert told(cli(*args), tmp_path) == snapshot


OWN = """from edgekd.students.simple import SimpleStudent


class MyStudent(SimpleStudent):
    metric = "accuracy"
    def io(self, shape): return None
    def evalset(self): return []
    def score(self, prediction, truth): return {}
    def build(self): return None
    def sample(self, rng): return {}
    def loss(self, outputs, batch): return 0
"""


@pytest.mark.parametrize(
    ("student", "old", "new"),
    [
        ("gone.py:MyStudent", "", ""),
        ("my_net.py", "", ""),
        ("my_net.py:MyStudnt", "", ""),
        ("my_net.py:MyStudent", "def build", "def built"),
        ("my_net.py:MyStudent", "def build(self)", "def build(self"),
        ("my_net.py:MyStudent", "return []", "return self.data['evil']"),
        ("my_net.py:MyStudent", "from edgekd", "import a_package_that_is_not_there\nfrom edgekd"),
        ("my_net.py:MyStudent", "return None", "return MyStudent.record()"),
    ],
    ids=["no file", "no class named", "no such class", "no build", "syntax", "evalset fails", "no package", "io fails"],
)
def test_a_student_of_ones_own(student, old, new, cli, tmp_path, snapshot):
    from edgekd.students.registry import find_recipe

    (tmp_path / "my_net.py").write_text(OWN.replace(old, new, 1) if old else OWN)
    recipe = find_recipe("classifier").read_text(encoding="utf-8")
    (tmp_path / "my.toml").write_text(recipe.replace('"classifier"', f'"{student}"'))
    assert told(cli("compress", "my.toml", "--target", "jetson"), tmp_path) == snapshot


def test_a_recipe_that_is_not_toml(cli, tmp_path, snapshot):
    (tmp_path / "mine.toml").write_text("[train\nsteps = 3\n")
    assert told(cli("compress", "mine.toml", "--target", "jetson"), tmp_path) == snapshot


def test_a_truncated_picture(cli, tmp_path, snapshot):
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    Image.fromarray(noise).save(folder / "a.png")
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:5000])
    assert told(cli("compress", "--target", "jetson", "--set", f"data.eval={folder}"), tmp_path) == snapshot


def test_an_empty_folder(cli, tmp_path, snapshot):
    (tmp_path / "pictures").mkdir()
    assert told(cli("compress", "--target", "jetson", "--set", "data.train=pictures"), tmp_path) == snapshot


def test_an_output_that_cannot_be_written(cli, tmp_path, snapshot):
    done = cli("compress", "--target", "jetson", "--out", "/proc/edgekd")
    assert re.sub(r"(cannot be written): .*", r"\1: REASON", told(done, tmp_path)) == snapshot


def test_an_operator_that_the_target_does_not_run(cli, tmp_path, snapshot):
    """Told within seconds, before anything is trained."""
    (tmp_path / "mine.toml").write_text(
        'extends = "jetson-orin-nano"\nschema = 1\nname = "mine"\ntitle = "My board"\n'
        '[engines.tensorrt]\noperators = ["Conv", "Relu", "Add", "Mul"]\n'
    )
    done = cli("compress", "qdr", "--target", "mine.toml", "--json", *tiny_set(TINY))
    assert told(done, tmp_path) == snapshot
    assert not list((tmp_path / "runs/.store").glob("teach-*"))


def test_a_net_larger_than_the_board(cli, tmp_path, snapshot):
    (tmp_path / "mine.toml").write_text(
        'extends = "jetson-orin-nano"\nschema = 1\nname = "mine"\ntitle = "My board"\n[cost]\nmemory_bytes = 10000\n'
    )
    assert told(cli("compress", "classifier", "--target", "mine.toml", "--json", *tiny_set()), tmp_path) == snapshot


def test_damaged_weights_in_the_store(classified, store, cli, tmp_path, snapshot):
    """Another target wants to re-use a teacher whose file was cut short."""
    import shutil

    copy = shutil.copytree(store / ".store", tmp_path / "runs/.store")
    weights = copy / classified.bundle.manifest.steps["teach fp32"] / "weights.safetensors"
    for step in (p for p in copy.iterdir() if p.is_dir() and not p.name.startswith(("teach", "check"))):
        shutil.rmtree(step)  # another test may have made that target's run
    weights.write_bytes(weights.read_bytes()[:1000])
    args = ("compress", "classifier", "--target", "raspberry-pi-5", "--json", *tiny_set())
    assert told(cli(*args), tmp_path) == snapshot
    shutil.rmtree(weights.parent)  # what the hint says, up to the point where the teacher trains again
    process = subprocess.Popen(command(*args), cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(copy.glob("teach-*.part")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert list(copy.glob("teach-*.part"))


def test_a_damaged_checkpoint(cli, tmp_path, snapshot):
    """What an interrupted training left behind is cut short."""
    args = ("compress", "classifier", "--target", "jetson", *tiny_set(), "--set", "train.steps=5000")
    process = subprocess.Popen(command(*args), cwd=tmp_path, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while (
        not (found := list((tmp_path / "runs/.store").glob("teach-*.part/checkpoint.pt")))
        and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    found[0].write_bytes(found[0].read_bytes()[:2000])
    assert told(cli(*args, "--json"), tmp_path) == snapshot


def test_ctrl_c(tmp_path, snapshot):
    """In the middle of training: two lines, exit code 130."""
    args = ("compress", "classifier", "--target", "jetson", "--json", *tiny_set(), "--set", "train.steps=5000")
    process = subprocess.Popen(
        command(*args), cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )  # fmt: skip
    deadline = time.monotonic() + 120
    checkpoint = "teach-*.part/checkpoint.pt"
    while not list((tmp_path / "runs/.store").glob(checkpoint)) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert told(subprocess.CompletedProcess([], process.returncode, out, err), tmp_path) == snapshot
