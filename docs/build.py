"""Write the field tables of docs/ from the schema: python docs/build.py"""

from pathlib import Path

from edgekd.schema.describe import as_markdown
from edgekd.schema.recipe import Recipe
from edgekd.schema.target import Board
from edgekd.students.picosam3.teachers.base import TeacherConfig

TEXTS = {
    "targets.md": (
        Board,
        """# Target descriptors

A target is a board times an engine. A descriptor is one TOML file: `targets/NAME.toml`, or a file of your own with
`edgekd compress --target mine.toml`. `edgekd targets` lists what ships, `edgekd targets NAME` shows one,
`edgekd targets --fields` prints the table below.

`extends = "NAME"` lays a file over another board's, key by key; lists are replaced, aliases are not inherited.

A board of one's own:

```toml
extends = "jetson-orin-nano"
schema = 1
name = "my-board"
title = "My board with less memory"

[cost]
memory_bytes = 4_000_000_000
```

Every value names its source in `sources`. `validated` tells how far an engine was checked: on the device, in a
simulator, or statically.

## Fields, schema version 1
""",
    ),
    "teachers.md": (
        TeacherConfig,
        """# Teachers

A student may learn from a teacher: a large network, or masks that a person or a program made. Of the shipped students
`picosam3` does. The recipe's table `teacher` names it:

```toml
[teacher]
source = "sam2:weights/sam2.1-hiera-tiny"
trust = "score"
```

| `source` | what answers | needs |
|---|---|---|
| `litemedsam` | LiteMedSAM; good on cells in a crop, not on photographs | `edgekd fetch litemedsam` |
| `sam2:FOLDER` | SAM 2.1, a box a mask | `edgekd[sam]`, a checkpoint from huggingface.co (Apache-2.0) |
| `sam3:FOLDER` | SAM 3's tracker, a box a mask | the same; the checkpoint is gated, under the SAM License |
| `sam3-concept:FOLDER` | SAM 3 finds all that is alike; of these the one that fits the box best | the same |
| `masks:FOLDER` | label maps `NAME.mask.png`, the object that overlaps the box the most | |
| `model:FILE` | any network, `.onnx` or `.tflite`, that sees a crop and gives logits | its io record |
| `student:FILE` | a larger PicoSAM3, `.safetensors` or the authors' `.pt` | |

Without a `source` the student learns from its labels alone. That is also how a control is written, an arm that shares
nothing with what was taught:

```toml
[arms.labels]
method = "tune"
title = "FP32, labels alone"
set = { "teacher.source" = "" }
```

## Asked once

Before training the step `ask` puts every training instance's box to the teacher, a picture at a time, so that a picture
is encoded once. The answers lie in the store; arms that ask the same share them, whatever their seeds, losses or share
of labels. With `views = 3` each instance is asked three times, the second and third time with a moved box (`noise`),
and training draws one of the answers.

An answer is kept over a region 1.3 times as wide as the crop around the box, 128 x 128 bytes, and training cuts from it
what its moved, stretched and mirrored crop shows. 256 steps of `sigmoid(2.5 z)` lose no more than float16 would: on 250
training crops of the cells the way to the crop and back changes what the losses see, `sigmoid(5 z)`, by 0.0029 for hard
masks and 0.00046 for smooth ones, with float16 by 0.0029 and 0.00044.

Where `data.labelled` is below 1 the masks of the other training pictures are not used, but the teacher's answers are.
A teacher that finds nothing in a box scores 0, and is not trusted there.

## On another machine, or on several

    edgekd teach my.toml --out answers --shard 0/2      # on one machine
    edgekd teach my.toml --out answers --shard 1/2      # on another; then bring both into one folder
    edgekd compress my.toml --target imx500 --set teacher.cache=answers

`edgekd teach` without `--shard` asks all. It prints answers per second and bytes: 16 kB an answer. Killed, it goes on
and loses a shard at most, 128 answers; several machines end with the bytes that one would write. A folder tells what it
was asked, of which data, by which files. One that answers something else, lacks a shard or is damaged is refused with
the reason. The teacher itself need not be where the student trains.

A bundle's manifest and its report name the teacher, how many answers it gave, and their SHA-256.

## The loss

`a teacher + (1 - a) label + 0.4 area`, each an instance's own, as in [PicoSAM3](https://arxiv.org/abs/2603.11917): `a`
is the teacher's own estimate of its IoU (`trust = "score"`) or a number for all. The authors use the batch's mean
(`per = "batch"`); an instance's own is ours. Quantization-aware training has the same loss, with the distillation at
the neck.

## The table `teacher`
""",
    ),
    "recipes.md": (
        Recipe,
        """# Recipes

A recipe declares a run: student, training, arms, gates. `edgekd init qdr` writes a commented copy that you own;
`edgekd students --fields` prints the table below. Any key can be overridden for a run:
`edgekd compress qdr.toml --target x86 --set train.steps=2000`.

An arm is a variation that shares every step it can with the others. Controls are arms: `ptq` beside `qat`, and FP32
tuned for as many steps as QAT (`tune`), the fair neighbour of a trained int8 net. `set` changes any key for one arm:

```toml
[arms.qat-alone]
method = "qat"
title = "int8, QAT without distillation"
set = { "quantize.dfd" = 0.0 }
```

[How a network becomes integers](quantization.md) explains arithmetic, ranges, `quantize.keep`, the controls and
`edgekd sensitivity`.

The tables `model`, `data` and `teacher` belong to the student; `edgekd students qdr` shows them with comments, and
[teachers](teachers.md) tells of the last. A network of your own is named as `student = "my_net.py:MyStudent"`:
[your own student](your-own-student.md).

Gates are in the metric's unit and about its mean over samples; higher is better. A task says what its gains count
from: the denoiser's from the noisy input, a baseline that is scored like an answer; `picosam3`'s from the ellipse in
the box, an answer that needs no network. A classifier has none, and gains count from zero: `min_gain` is then the least
accuracy itself, and `min_retained` the least artifact / FP32.

## Fields, schema version 1
""",
    ),
}


def pages() -> dict[str, str]:
    """Every generated page by file name."""
    return {name: f"{text}\n{as_markdown(model)}\n" for name, (model, text) in TEXTS.items()}


if __name__ == "__main__":
    for name, page in pages().items():
        (Path(__file__).parent / name).write_text(page, encoding="utf-8")
