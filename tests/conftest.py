"""A tiny run that every test of a whole chain shares, and how the command line is called."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from edgekd.graph.images import find_folder, read_picture
from edgekd.pipeline import Result, resolve, run
from edgekd.plan import make_plan
from edgekd.store import Store
from edgekd.students.registry import find_recipe
from hypothesis import settings
from PIL import Image

# The same examples every time, so that a change is judged and not its luck; `HYPOTHESIS_PROFILE=search` finds others.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("search", derandomize=False, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# Small enough to train in seconds, real in every stage. Its gates only ask that something was learned.
EVAL = Path(tempfile.gettempdir()) / f"edgekd-tests-{os.getuid()}" / "eval"
TINY = (
    f"data.eval={EVAL}",
    "train.steps=80",
    "quantize.steps=12",
    "quantize.calibration.batches=2",
    "data.crop=64",
    "deploy.shape=[64, 64]",
    "gates.min_gain=2",
    "gates.min_retained=0.9",
    "threads=1",
    "profile.runs=20",
    "profile.warmup=2",
)

TINY_CLASSIFIER = (
    "model.width=16",
    "data.tests=60",
    "train.steps=40",
    "quantize.steps=10",
    "quantize.calibration.batches=2",
    "deploy.probes=2",
    "gates.min_gain=30",
    "gates.min_retained=0.8",
    "gates.max_engine_drop=5",
    "gates.max_group_drop=50",
    "threads=1",
    "profile.runs=20",
    "profile.warmup=2",
)


TINY_SEGMENTER = (
    "model.encoder=[8, 8, 12, 16]",
    "model.neck=16",
    "model.dilated_neck=false",
    "model.refine=false",
    "model.decoder=[16, 12, 8, 8]",
    "data.side=48",
    "data.tests=10",
    "deploy.shape=[48, 48]",
    "deploy.probes=1",
    "train.steps=30",
    "train.batch=8",
    "quantize.steps=6",
    "quantize.batch=8",
    "quantize.calibration.batches=2",
    "gates.min_retained=0",
    "gates.max_engine_drop=5",
    "gates.max_engine_drop_worst=100",
    "threads=1",
    "profile.runs=20",
    "profile.warmup=2",
)


@pytest.fixture(scope="session", autouse=True)
def _one_small_picture() -> None:
    """A piece of a Kodak picture: four evaluation crops."""
    EVAL.mkdir(parents=True, exist_ok=True)
    picture = read_picture(find_folder("edgekd:kodak") / "kodim11.png")[128:256, 256:384]
    mine = EVAL.parent / f"pier-{os.getpid()}.png"  # several workers do this at once
    Image.fromarray(picture).save(mine)
    mine.replace(EVAL / "pier.png")


@pytest.fixture(scope="session", autouse=True)
def _operators_read_once() -> None:
    """torch's exporter parses its operators' sources at each export: as long as a tiny net's export takes otherwise."""
    with suppress(AttributeError, ImportError):
        if "torch" in sys.modules:
            from torch.onnx._internal.exporter._registration import onnxscript_apis

            onnxscript_apis.get_torchlib_ops = cache(onnxscript_apis.get_torchlib_ops)


Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def command(*args: str | Path) -> list[str]:
    return [sys.executable, "-m", "edgekd", *map(str, args)]


def tiny_set(settings: tuple[str, ...] = TINY_CLASSIFIER) -> list[str]:
    """A tiny run's settings for the command line."""
    return [part for pair in settings for part in ("--set", pair)]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run the command line in `tmp_path`; colour and width are fixed."""

    def call(*args: str | Path, **more: object) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "100", "TERM": "dumb"}
        return subprocess.run(
            command(*args), capture_output=True, text=True, cwd=tmp_path, env=environment, check=False, **more
        )  # type: ignore[call-overload, no-any-return]

    return call


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all tiny runs of this session; workers share it, so that each step is built once."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "runs"


REPEATED = ("fp32-tuned", "ptq", "ptq-onnxruntime", "ptq-nncf")


def shortened(folder: Path, student: str, left_out: tuple[str, ...] = REPEATED) -> str:
    """A student's recipe without some of its arms: each costs an export, and its scores."""
    whole = find_recipe(student).read_text(encoding="utf-8").split("\n\n")
    kept = [part for part in whole if not any(f"[arms.{arm}]" in part for arm in left_out)]
    folder.mkdir(exist_ok=True)
    path = folder / f"{student}-without-{'-'.join(left_out)}-{os.getpid()}.toml"
    path.write_text("\n\n".join(kept), encoding="utf-8")
    return str(path)


def finished(student: str, target: str, settings: tuple[str, ...], folder: Path) -> Result:
    """A run that the first worker to ask makes; the others read its result, so its report keeps its figures."""
    request = resolve(student, target, settings)
    folder.mkdir(exist_ok=True)
    name = make_plan(*request).name
    with Store(folder / ".store").lock(f"{name}.result"):
        kept = folder / f"{name}.pickle"
        if not kept.exists():
            kept.write_bytes(pickle.dumps(run(*request, folder)))
        return pickle.loads(kept.read_bytes())  # noqa: S301 - our own, a moment old


@pytest.fixture(scope="session")
def jetson(store: Path) -> Result:
    """A finished tiny run for the Jetson."""
    return finished("qdr", "jetson", TINY, store)


@pytest.fixture(scope="session")
def classified(store: Path) -> Result:
    """A finished tiny run of the classifier for this host."""
    return finished("classifier", "x86", TINY_CLASSIFIER, store)


@pytest.fixture(scope="session")
def stood_in(store: Path) -> Result:
    """A finished tiny run of the classifier for the Jetson: two engines in its place, and few tensors to look at."""
    return finished(shortened(store, "classifier"), "jetson", TINY_CLASSIFIER, store)


@pytest.fixture(scope="session")
def segmented(store: Path) -> Result:
    """A finished tiny run of PicoSAM3 for this host, without the arms that only repeat others."""
    return finished(shortened(store, "picosam3"), "x86", TINY_SEGMENTER, store)


@pytest.fixture(scope="session")
def x86_run(store: Path, jetson: Result) -> Result:
    """A finished tiny run for this host, after the Jetson's and without the arms that only repeat its."""
    return finished(shortened(store, "qdr"), "x86", TINY, store)
