"""Write the field tables of docs/ from the schema: python docs/build.py"""

from pathlib import Path

from edgekd.schema.describe import as_markdown
from edgekd.schema.recipe import Recipe
from edgekd.schema.target import Board

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

The tables `model` and `data` belong to the student; `edgekd students qdr` shows them with comments. A network of your
own is named as `student = "my_net.py:MyStudent"`: [your own student](your-own-student.md).

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
