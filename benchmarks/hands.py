"""What a teacher is worth on real hands: python benchmarks/hands.py [--steps N] [--seeds N] [--jobs N]

The net `nano` on crops of 400 real hands (`hand_real_400_128.npz` of EDGEKD_DATA: left hands of few sessions, for
non-commercial research), trained from the labels alone, from MediaPipe's answers alone, and from both, with all
labels and with a tenth of them. All begin with one net that was trained on synthetic hands, and see as many crops.
80 pictures test, in blocks apart from what trains. Then PTQ and QAT of the net of both, in LiteRT's arithmetic. In
the table: the mean hand of the labels, which looks at nothing, and the teacher itself. Intervals are 95 % bootstrap
over the test pictures of means over seeds; differences are paired. Last, student and teacher in LiteRT, in turns,
one thread. Each finished training is kept, so the program goes on where it was stopped. First:

    edgekd fetch mediapipe-hands
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

OUT = Path(os.environ.get("EDGEKD_BENCH_RUNS", "runs/hands"))
FILE = Path(os.environ.get("EDGEKD_DATA", "data")) / "hand_real_400_128.npz"
TEACHER = "mediapipe"
ARMS: dict[str, tuple[str, float, dict[str, float]]] = {
    "labels": ("labels alone", 1.0, {}),
    "teacher": ("MediaPipe alone", 0.0, {"labels": 0.0, "outputs": 1.0}),
    "both": ("both", 1.0, {"outputs": 1.0}),
    "labels-10": ("a tenth of the labels alone", 0.1, {}),
    "both-10": ("a tenth of the labels, and MediaPipe", 0.1, {"outputs": 1.0}),
}
"""Name to title, share of the labels, the table `teacher`."""
SHIPPED = "both"
"""What is quantized."""
TARGET = "raspberry-pi-5"
"""Whose arithmetic and engine, LiteRT, the integers are for."""


def student(share: float, seed: int, synthetic: bool = False) -> Any:
    """The training side, on real hands with a share of the labels, or on synthetic ones."""
    from edgekd.schema.load import merge, read_toml
    from edgekd.students.fast_hamer.training import HandStudent
    from edgekd.students.registry import find_recipe

    recipe = read_toml(find_recipe("fast-hamer"))
    real = {"source": str(FILE), "hands": "left", "labelled": share, "tests": 80, "split": 0}
    data = merge(recipe["data"], {"alone": 0.5} if synthetic else real)
    return HandStudent(recipe["model"], data, seed)


def trained(made: Any, folder: Path, steps: int, args: argparse.Namespace, start: Path | None = None) -> Any:
    """The net in its training form, from other weights on where they are named; kept."""
    import torch
    from edgekd.train.teach import WEIGHTS, load_weights, train_float

    torch.set_num_threads(1)
    torch.manual_seed(made.seed)
    net = made.build()
    if not (folder / WEIGHTS).exists():
        folder.mkdir(parents=True, exist_ok=True)
        net = net if start is None else load_weights(net, start)
        train_float(net, lambda m, b: made.loss(m(*made.inputs(b)), b), lambda i: made.batch(i, args.batch),
                    steps=steps, lr=args.lr, weight_decay=1e-4, warmup=0.1, folder=folder,
                    tick=lambda *told: None)  # fmt: skip
    return load_weights(net, folder)


def begin(seed: int, args: argparse.Namespace) -> Path:
    """A net trained on synthetic hands; its folder."""
    folder = OUT / f"start-{args.start}-{seed}"
    trained(student(1.0, seed, synthetic=True), folder, args.start, args)
    return folder


def run(arm: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Scores of each test hand by FP32; of the shipped arm by PTQ and QAT too."""
    _, share, taught = ARMS[arm]
    folder = OUT / f"{arm}-{args.steps}-{seed}"
    path = folder / "scores.json"
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    made = student(share, seed)
    if taught:
        made.learn({"source": TEACHER} | taught, answers())
    net = made.fold(trained(made, folder, args.steps, args, OUT / f"start-{args.start}-{seed}").eval(), folder)
    found = {"FP32": scores(made.task, net)}
    if arm == SHIPPED:
        found |= integers(made, net, folder)
    path.write_text(json.dumps(found), encoding="utf-8")
    return found


def answers() -> Path:
    """MediaPipe's answers to every training hand, asked once."""
    from edgekd.asking import teach
    from edgekd.pipeline import resolve

    folder = OUT / "answers"
    sets = (f"data.source={FILE}", "data.hands=left", "data.tests=80", "data.labelled=1.0", f"teacher.source={TEACHER}")
    recipe, _ = resolve("fast-hamer", "x86", sets)
    teach(recipe, folder, (0, 1), lambda *told: None)
    return folder


def integers(made: Any, net: Any, folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """PTQ and QAT in the arithmetic of LiteRT, scored by the integer reference; the graphs are kept."""
    import copy

    import onnx
    from edgekd.graph import golden
    from edgekd.graph.model import Graph
    from edgekd.quantize.export import export_float, export_quantized
    from edgekd.quantize.methods import Source, load_quantizers, ptq, qat
    from edgekd.schema.load import parse, read_toml
    from edgekd.schema.recipe import Quantize
    from edgekd.schema.targets import find_target
    from edgekd.students.registry import find_recipe
    from edgekd.train.teach import load_weights

    io, rounding = made.io((made.task.config.side,) * 2), find_target(TARGET).arithmetic.rounding
    config = parse(Quantize, read_toml(find_recipe("fast-hamer"))["quantize"], "quantize")
    arithmetic, ranges = find_target(TARGET).arithmetic, [io.inputs[0].ends]
    source = Source(lambda i: made.batch(10**6 + i, config.batch), made.inputs, made.loss, made.taps, ranges)
    onnx.save(export_float(net, io), folder / "float.onnx")
    out = {}
    for name in ("PTQ", "QAT"):
        place, own = folder / name, copy.deepcopy(net)
        place.mkdir(exist_ok=True)
        if name == "PTQ":
            ptq(own, source, arithmetic, config, place)
        else:
            qat(own, copy.deepcopy(net), source, arithmetic, config, place, lambda *told: None)
        own = load_weights(made.deployed(), place)
        graph = Graph(export_quantized(own, load_quantizers(place), arithmetic, ranges, io).model)
        onnx.save(graph.model, place / "graph.onnx")
        out[name] = scored(made.task, lambda x, graph=graph: golden.run(graph, x, rounding=rounding))
    return out


def scores(task: Any, net: Any) -> dict[str, dict[str, float]]:
    """Of a float net."""
    import torch
    from edgekd.students.fast_hamer.task import OUTPUTS

    def run(inputs: dict[str, Any]) -> dict[str, Any]:
        with torch.no_grad():
            made = net(torch.from_numpy(inputs["crop"]))
        return {name: value.numpy() for name, value in zip(OUTPUTS, made, strict=True)}

    return scored(task, run)


def scored(task: Any, run: Any) -> dict[str, dict[str, float]]:
    """Scores of each test hand by its id."""
    io = task.io((task.config.side,) * 2)
    answered = ((sample, run(task.encode(sample.raw, io))) for sample in task.evalset())
    names = [spec.name for spec in io.outputs]
    return {s.id: task.score(task.decode({name: a[name] for name in names}, io), s.truth) for s, a in answered}


def controls() -> dict[str, dict[str, dict[str, float]]]:
    """The mean hand of the labels, and the teacher itself on the test's crops."""
    from edgekd.students.fast_hamer.config import TeacherConfig
    from edgekd.students.fast_hamer.crop import crop_of
    from edgekd.students.fast_hamer.metrics import aligned_error
    from edgekd.students.fast_hamer.teachers.open import open_teacher

    task = student(1.0, 0).task
    teacher = open_teacher(TeacherConfig(source=TEACHER), task.config)
    said = {}
    for hand, sample in zip(task.hands.test, task.evalset(), strict=True):
        (answer,) = teacher(task.hands.picture(hand.picture), [crop_of(hand)])
        said[sample.id] = {"pa_mpjpe": float(aligned_error(answer.joints, sample.truth["joints"]))}
    mean = {s.id: task.score(task.mean, s.truth) for s in task.evalset()}
    return {"the mean hand (control)": mean, "MediaPipe itself": said}


def speed(rounds: int = 200) -> dict[str, list[float]]:
    """Milliseconds of student and teacher in LiteRT, in turns, one thread."""
    from time import perf_counter

    import onnx
    from edgekd.backends.base import Job
    from edgekd.backends.registry import backend
    from edgekd.devices.local import open_session
    from edgekd.graph.model import Graph
    from edgekd.schema.targets import find_target
    from edgekd.toolchains.cache import locate

    steps = max(int(p.name.split("-")[1]) for p in OUT.glob(f"{SHIPPED}-*-0"))
    folder, target = OUT / f"{SHIPPED}-{steps}-0", find_target(TARGET)
    maker, calls = backend(target.engine.backend), {}
    for form, file in (("student, FP32", "float.onnx"), ("student, int8", "QAT/graph.onnx")):
        graph, place = Graph(onnx.load(folder / file)), folder / f"engine-{form[9:]}"
        place.mkdir(exist_ok=True)
        x = {spec.name: np.zeros(spec.shape, np.float32) for spec in graph.io.inputs}
        options = maker.Options.model_validate(target.engine.options)
        made = maker.compile(Job(graph, graph, [x], []), options, place)
        session = open_session(made.runner or "", place / made.model, made.options | {"threads": 1})
        fed = session.feed(x)
        calls[form] = lambda session=session, fed=fed: session.call(fed)
    from ai_edge_litert.interpreter import Interpreter

    for name in ("full", "lite"):
        interpreter = Interpreter(str(locate("mediapipe-hands") / f"hand_landmark_{name}.tflite"), num_threads=1)
        interpreter.allocate_tensors()
        calls[f"MediaPipe, {name}"] = interpreter.invoke
    times: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(10 + rounds):
        for name, call in calls.items():
            start = perf_counter()
            call()
            if i >= 10:
                times[name].append((perf_counter() - start) * 1e3)
    return times


def interval(values: np.ndarray) -> str:
    """Mean, and its 95 % bootstrap interval over pictures."""
    picks = np.random.default_rng(0).integers(0, len(values), (4000, len(values)))
    low, high = np.percentile(values[picks].mean(1), [2.5, 97.5])
    return f"{values.mean():.2f} [{low:.2f}, {high:.2f}]"


def table(found: dict[str, list[dict[str, dict[str, float]]]]) -> list[str]:
    """A row for each subject; against the labels alone of as many labels, paired."""
    ids = list(next(iter(found.values()))[0])

    def values(name: str, metric: str) -> np.ndarray:
        return np.mean([[run[i].get(metric, np.nan) for i in ids] for run in found[name]], axis=0)

    lines = [
        "| what | PA-MPJPE, mm | sd of seeds | MPJPE, mm | AUC | against labels alone, mm |",
        "|---|---|---|---|---|---|",
    ]
    for name, runs in found.items():
        error = values(name, "pa_mpjpe")
        seeds = [np.mean([run[i]["pa_mpjpe"] for i in ids]) for run in runs]
        other = ARMS["labels-10"][0] if "tenth" in name else ARMS["labels"][0]
        against = interval(error - values(other, "pa_mpjpe")) if len(runs) > 1 and name != other else ""
        rest = [values(name, metric).mean() for metric in ("mpjpe", "auc")]
        cells = ["" if np.isnan(v) else f"{v:.{n}f}" for v, n in zip(rest, (1, 3), strict=True)]
        spread = f"{np.std(seeds, ddof=1):.2f}" if len(runs) > 1 else ""
        lines.append(f"| {name} | {interval(error)} | {spread} | {' | '.join(cells)} | {against} |")
    return lines


def main() -> None:
    from edgekd.evidence import host, now
    from edgekd.store import installed

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--start", type=int, default=1500, help="steps on synthetic hands before")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    answers()
    jobs = [(arm, seed) for seed in range(args.seeds) for arm in ARMS]
    with ProcessPoolExecutor(args.jobs) as pool:
        list(pool.map(begin, range(args.seeds), [args] * args.seeds))
        runs = list(pool.map(run, *zip(*jobs, strict=True), [args] * len(jobs)))
    found: dict[str, list[Any]] = {name: [rows] for name, rows in controls().items()}
    for (arm, _), forms in zip(jobs, runs, strict=True):
        for form, rows in forms.items():
            found.setdefault(ARMS[arm][0] + (f", {form}" if form != "FP32" else ""), []).append(rows)
    times = speed()
    own = np.median(times["MediaPipe, full"])
    text = "\n".join([
        "# Real hands, and what a teacher is worth", "",
        f"`python benchmarks/hands.py`, {now()}; {args.start} steps on synthetic hands, then {args.steps} of",
        f"{args.batch} real ones, seeds 0 to {args.seeds - 1}; {host()}; torch {installed('torch')}; load average",
        f"while timing {os.getloadavg()[0]:.1f}.",
        "FP32 where nothing else is said.", "",
        *table(found), "",
        "LiteRT, one thread, 200 runs in turns, medians:", "",
        "| net | ms | MediaPipe full / it |", "|---|---|---|",
        *(f"| {name} | {np.median(ms):.2f} | {own / np.median(ms):.2f} |" for name, ms in times.items()), "",
    ])  # fmt: skip
    (Path(__file__).parent / "results" / "hands.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
