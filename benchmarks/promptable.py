"""What a teacher is worth, and what box noise costs: python benchmarks/promptable.py [--steps N] [--seeds N]

PicoSAM3's float net, trained from labels alone, from a teacher alone, and from both, with all training masks and with a
tenth of them; the teacher answers every training picture's boxes either way. Then with and without box noise in
training, tested with boxes that are off by 0 to 30 %. Every net sees as many crops. Tested on all instances of the test
pictures; intervals are 95 % bootstrap over the test pictures of the means over seeds, differences are paired. Each
finished training is kept, so the program goes on where it was stopped. The teacher's answers come first:

    edgekd teach picosam3 --set teacher.source=litemedsam --set data.train=0.4 --out runs/promptable/answers
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

OUT = Path(os.environ.get("EDGEKD_BENCH_RUNS", "runs/promptable"))
NOISES = (0.0, 0.05, 0.1, 0.2, 0.3)
TEACHER = "litemedsam"
ARMS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "labels": ("labels alone", {}, {}),
    "teacher": ("LiteMedSAM alone", {"labelled": 0.0}, {"trust": "score"}),
    "both": ("both, weighed by the teacher's score", {}, {"trust": "score"}),
    "labels-10": ("labels alone, a tenth", {"labelled": 0.1}, {}),
    "both-10": ("both, a tenth of the labels", {"labelled": 0.1}, {"trust": "score"}),
    "still": ("labels alone, no box noise in training", {"jitter": 0.0, "aspect": 0.0}, {}),
}
"""Name to title, `data` and `teacher` settings. From the teacher alone no share of labels matters."""
CONTROLS = ("whole box", "ellipse in the box")


def train(arm: str, seed: int, args: argparse.Namespace) -> Path:
    """One net, its weights kept; scores of each test instance at each noise."""
    import torch
    from edgekd.students.picosam3.training import SegmentStudent
    from edgekd.train.teach import WEIGHTS, load_weights, train_float

    torch.set_num_threads(1)
    folder = OUT / f"{Path(args.source.replace(':', '-')).stem}-{args.steps}" / f"{arm}-{seed}"
    _, data, taught = ARMS[arm]
    data = settings(args) | data
    same(folder, data | taught | {"batch": args.batch, "lr": args.lr})
    if (folder / "scores.json").exists():
        return folder / "scores.json"
    student = SegmentStudent({}, data, seed)
    if taught:
        student.learn({"source": TEACHER} | taught, OUT / "answers")
    torch.manual_seed(seed)
    net = student.build()
    if not (folder / WEIGHTS).exists():
        train_float(net, lambda m, b: student.loss(m(*student.inputs(b)), b), lambda i: student.batch(i, args.batch),
                    steps=args.steps, lr=args.lr, weight_decay=0.01, warmup=0.05, folder=folder,
                    tick=lambda *told: None)  # fmt: skip
    net = load_weights(net, folder).eval()
    noises = NOISES if arm in ("labels", "still") else NOISES[:1]
    found = {str(noise): rows(net, SegmentStudent({}, data | {"noise": noise}, seed)) for noise in noises}
    (folder / "scores.json").write_text(json.dumps(found), encoding="utf-8")
    return folder / "scores.json"


def same(folder: Path, asked: dict[str, Any]) -> None:
    """What is kept was made with these settings."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "settings.json"
    if not path.exists():
        path.write_text(json.dumps(asked), encoding="utf-8")
    if json.loads(path.read_text(encoding="utf-8")) != asked:
        raise SystemExit(f"{folder} was made with other settings: name another folder in EDGEKD_BENCH_RUNS")


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """The `data` table that all arms have in common."""
    common = {"source": args.source, "least": args.least, "expose": args.expose, "train": args.train}
    return common | {"tests": 100_000}


def rows(net: Any, student: Any) -> dict[str, dict[str, float]]:
    """Scores of every test instance by its id."""
    import torch

    task, io = student.task, student.task.io((96, 96))
    out = {}
    with torch.no_grad():
        for sample in task.evalset():
            logits = net(torch.from_numpy(task.encode(sample.raw, io)["crop"])).numpy()
            out[sample.id] = task.score(task.decode({"logits": logits}, io), sample.truth)
    return out


def controls(args: argparse.Namespace) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Scores of the box and of the ellipse, by noise."""
    from edgekd.students.picosam3.task import SegmentTask

    out: dict[str, dict[str, Any]] = {name: {} for name in CONTROLS}
    for noise in NOISES:
        task = SegmentTask(settings(args) | {"noise": noise}, 0)
        for name, answer in task.controls().items():
            out[name][str(noise)] = {s.id: task.score(answer(s), s.truth) for s in task.evalset()}
    return out


def interval(values: np.ndarray, pictures: list[str]) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of values (N,), pictures drawn whole."""
    groups = [values[[i for i, p in enumerate(pictures) if p == name]] for name in dict.fromkeys(pictures)]
    sums, counts = np.array([g.sum() for g in groups]), np.array([len(g) for g in groups])
    picks = np.random.default_rng(0).integers(0, len(groups), (4000, len(groups)))
    means = sums[picks].sum(1) / counts[picks].sum(1)
    return float(np.percentile(means, 2.5)), float(np.percentile(means, 97.5))


def table(found: dict[str, list[dict[str, Any]]], args: argparse.Namespace) -> str:
    first = next(iter(found.values()))[0]["0.0"]
    ids, pictures = list(first), [name.rpartition("-")[0] for name in first]

    def values(arm: str, noise: float, metric: str) -> np.ndarray:
        return np.mean([[run[str(noise)][i][metric] for i in ids] for run in found[arm]], axis=0)

    def told(v: np.ndarray) -> str:
        low, high = interval(v, pictures)
        return f"{v.mean():.2f} [{low:.2f}, {high:.2f}]"

    columns = ("arm", "IoU, crop", "sd of seeds", "IoU, picture", "boundary IoU", "IoU ≥ 0.5", "IoU ≥ 0.75",
               "against labels alone")  # fmt: skip
    head = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    lines = [f"{len(ids)} instances of {len(set(pictures))} test pictures.", "", *head]
    for arm in found:
        title = ARMS[arm][0] if arm in ARMS else f"{arm} (control)"
        runs = [np.mean([run["0.0"][i]["iou"] for i in ids]) for run in found[arm]]
        iou = values(arm, 0.0, "iou")
        other = ("labels-10" if arm == "both-10" else "labels") if arm not in ("labels", "labels-10") else ""
        against = told(iou - values(other, 0.0, "iou")) if other in found and arm in ARMS else ""
        rest = (
            f"{values(arm, 0.0, metric).mean():.2f}" for metric in ("iou_picture", "iou_boundary", "at_50", "at_75")
        )
        spread = f"{np.std(runs, ddof=1):.2f}" if len(runs) > 1 else ""
        lines.append(f"| {title} | {told(iou)} | {spread} | {' | '.join(rest)} | {against} |")
    noisy = [arm for arm in (*CONTROLS, "labels", "still") if arm in found]
    lines += ["", "IoU in the crop, and in the picture, with boxes that are off:", "",
              "| box noise | " + " | ".join(ARMS[a][0] if a in ARMS else a for a in noisy) + " |",
              "|---|" + "---|" * len(noisy)]  # fmt: skip
    for noise in NOISES:
        cells = [f"{values(a, noise, 'iou').mean():.2f}, {values(a, noise, 'iou_picture').mean():.2f}" for a in noisy]
        lines.append(f"| {noise:.0%} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    from edgekd.evidence import host, now
    from edgekd.store import installed

    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--source", default="edgekd:cells")
    parser.add_argument("--least", type=int, default=16)
    parser.add_argument("--train", type=float, default=0.4, help="share of the pictures that trains")
    parser.add_argument("--expose", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--arms", nargs="*", default=list(ARMS))
    parser.add_argument("--name", default="promptable")
    args = parser.parse_args()
    start, jobs = time.time(), [(arm, seed) for seed in range(args.seeds) for arm in args.arms]
    with ProcessPoolExecutor(args.jobs) as pool:
        files = list(pool.map(train, *zip(*jobs, strict=True), [args] * len(jobs)))
    found: dict[str, list[Any]] = {name: [scores] for name, scores in controls(args).items()}
    for (arm, _), file in zip(jobs, files, strict=True):
        found.setdefault(arm, []).append(json.loads(file.read_text(encoding="utf-8")))
    text = "\n".join([
        "# A teacher's worth, and box noise", "",
        f"`python benchmarks/promptable.py`, {now()}; {args.source}, {args.steps} steps of {args.batch}, seeds 0 to "
        f"{args.seeds - 1}; {host()}; torch {installed('torch')}; {time.time() - start:.0f} s.", "",
        table(found, args), "",
    ])  # fmt: skip
    (Path(__file__).parent / "results" / f"{args.name}.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
