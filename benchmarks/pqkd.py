"""What the photons of PQKD do: python benchmarks/pqkd.py [--data mnist|cifar] [--seeds N] [--steps N] [--jobs N]

Every float arm of the recipe `pqkd` on 10,000 training pictures, for several seeds, scored on the whole test set: mean
and standard deviation over seeds, and the difference to PQKD of the same seed, paired. Training, angles, shots, initial
weights and augmentation have the seed; the fixed mixing has it too. Data: EDGEKD_DATA, `mnist.npz` and
`cifar10_jpg_10k2k.npz`, a JPEG copy of CIFAR-10. Each finished training is kept in EDGEKD_BENCH_RUNS, so the program
goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

OUT = Path(os.environ.get("EDGEKD_BENCH_RUNS", "runs/pqkd"))
DATA = Path(os.environ.get("EDGEKD_DATA", "data"))
TRAINING = 10_000
SETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mnist": ("mnist.npz", ()),
    "cifar": (
        "cifar10_jpg_10k2k.npz",
        ("data.flip=true", "deploy.shape=[32, 32]", "model.widths=[16, 16, 32, 32, 64]",
         "arms.teacher.set={model={widths=[32, 32, 64, 64, 128]}}", "arms.tiny.set={model={widths=[4, 4, 6, 6, 10]}}"),
    ),
}  # fmt: skip
"""By name: the file, and the recipe's overrides. Layouts are ours."""
REFERENCE = "pqkd"
FLOAT = ("teacher", "plain", "tiny", "dictionary", "pqkd", "exact", "fixed", "gaussian", "constant")


def cut(name: str) -> Path:
    """The set with some of its training pictures, drawn once, and its whole test set."""
    path = OUT / f"{name}.npz"
    if not path.exists():
        OUT.mkdir(parents=True, exist_ok=True)
        with np.load(DATA / SETS[name][0], allow_pickle=False) as file:
            picks = np.random.default_rng(0).permutation(len(file["y_train"]))[:TRAINING]
            kept = {key: file[key][picks] if key.endswith("train") else file[key] for key in file.files}
        np.savez(path.with_suffix(f".{os.getpid()}.npz"), **kept)
        path.with_suffix(f".{os.getpid()}.npz").replace(path)
    return path


def train(name: str, arm: str, seed: int, steps: int, sets: tuple[str, ...]) -> dict[str, float]:
    """Accuracy on the test set in %, numbers that were trained, bytes of the stored form."""
    from edgekd.pipeline import resolve
    from edgekd.plan import make_plan
    from edgekd.steps import build, trained_net
    from edgekd.store import Store, write_atomic
    from edgekd.students.base import STORED

    epoch = f"model.photonic.refresh={-(-TRAINING // 64)}"  # ten updates of the angles an epoch, as the paper has it
    overrides = (f"data.source={cut(name)}", f"seed={seed}", f"model.mixing={seed}", f"train.steps={steps}", epoch)
    plan = make_plan(*resolve("pqkd", "x86:onnxruntime", (*overrides, *SETS[name][1], *sets)))
    store, at, wanted = Store(OUT / ".store"), {}, plan.trained[arm]
    for step in (plan.steps[needed] for needed in (*plan.steps[wanted].needs, wanted)):
        at[step.name] = store.get(step.key, lambda part, step=step: build(plan, step, at, part, lambda *told: None))
    step = plan.steps[wanted]
    score = OUT / f"{step.key}.json"
    if not score.exists():
        student = plan.entry.make_student(step.recipe.model, step.recipe.data, seed)
        found = {
            "accuracy": accuracy(trained_net(plan, step.recipe, at[wanted]).eval(), plan.task),
            "trained": sum(p.numel() for p in student.build().parameters()),
            "stored": (at[wanted] / STORED).stat().st_size,
        }
        write_atomic(score, json.dumps(found).encode())
    answer: dict[str, float] = json.loads(score.read_text(encoding="utf-8"))
    return answer


def accuracy(net: Any, task: Any) -> float:
    """Of the whole test set, in %."""
    import torch

    pictures, classes = task.loaded[2]
    spec = task.io(pictures.shape[1:3]).inputs[0]
    right = 0
    for start in range(0, len(classes), 500):
        x = pictures[start : start + 500].reshape(-1, *pictures.shape[1:3], spec.shape[1]).transpose(0, 3, 1, 2)
        x = (x * np.float32(spec.scale) - spec.mean[0]) / spec.std[0]
        with torch.no_grad():
            answers = net(torch.from_numpy(np.ascontiguousarray(x, np.float32))).argmax(1).numpy()
        right += int((answers == classes[start : start + 500]).sum())
    return 100.0 * right / len(classes)


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """Rows by arm; differences are those of equal seeds."""
    rows = ["| arm | accuracy, % | to PQKD, paired | trained numbers | stored, bytes |", "|---|---|---|---|---|"]
    base = np.array([each["accuracy"] for each in found[REFERENCE]]) if REFERENCE in found else None
    for arm, each in found.items():
        values = np.array([one["accuracy"] for one in each])
        apart = "" if base is None or arm == REFERENCE else spread(values - base, "+")
        rows.append(f"| {arm} | {spread(values)} | {apart} | {each[0]['trained']:,} | {each[0]['stored']:,} |")
    return "\n".join(rows)


def page(found: dict[str, list[dict[str, float]]], args: argparse.Namespace) -> str:
    """The table, and what made it."""
    from edgekd.evidence import host, now
    from edgekd.store import installed

    return "\n".join([
        f"# What the photons of PQKD do, {SETS[args.data][0]}", "",
        f"`python benchmarks/pqkd.py --data {args.data} --seeds {args.seeds} --steps {args.steps}`, {now()}; {host()};",
        f"torch {installed('torch')}. {TRAINING:,} training pictures, mean and standard deviation over seeds.", "",
        table(found), "",
    ])  # fmt: skip


def spread(values: np.ndarray, sign: str = "") -> str:
    """Mean and standard deviation over seeds, of one seed the value."""
    deviation = f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else ""
    return f"{values.mean():{sign}.2f}{deviation}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=[*SETS], default="mnist")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--arms", nargs="+", choices=FLOAT, default=list(FLOAT))
    parser.add_argument("--set", action="append", default=[], help="further KEY=VALUE of the recipe")
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    cut(args.data)
    jobs = [(args.data, arm, seed, args.steps, tuple(args.set)) for seed, arm in product(range(args.seeds), args.arms)]
    with ProcessPoolExecutor(args.jobs) as pool:
        results = list(pool.map(train, *zip(*jobs, strict=True)))
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in args.arms}
    for (_, arm, *_rest), result in zip(jobs, results, strict=True):
        found[arm].append(result)
    text = page(found, args)
    print(text)
    if args.arms == [*FLOAT] and not args.set:
        path = Path(__file__).parent / "results" / f"pqkd_{args.data}.md"
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
