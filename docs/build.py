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

`ptq-onnxruntime` and `ptq-nncf` are the post-training quantizers of ONNX Runtime and NNCF
(`pip install 'edgekd[nncf]'`), controls of ours. They get the same float net, the batches that `ptq` calibrates on, and
the target's bits, symmetry and scales per channel or tensor; where pairs sit and how ranges are found is left to the
tool. They see the batches through a float graph of the batches' size; their pairs are then put on the net at its
deployed size. NNCF gives tensors without negative values unsigned codes; where a target has signed codes only, they
keep their range on those. NNCF's biases are float, and rounded to the accumulator's grid when they are scored. An arm
whose tool is not installed, or that its tool cannot express (4-bit weights, power-of-two scales), is left out, and the
run says so. Controls are scored like every arm and cannot be shipped.

## Mixed precision

`quantize.keep` gives single layers more weight bits than the target's arithmetic has, or leaves them in float: then
neither their weight nor their input is quantized. Keys are layers as `edgekd inspect` shows them, or patterns with `*`;
of several that match the last one counts.

```toml
[quantize.keep]
head = 8
"dec.0.*" = "float"
```

`edgekd sensitivity RUN` measures what each layer loses: after one calibration, the task's metric with that layer alone
quantized. With `--budget 0.05` (the drop of the metric against FP32 that is allowed) or `--max-layers 3` it keeps
layers, the most sensitive first, each trial quantized and calibrated anew with those chosen before;
`--write mixed.toml` writes the run's recipe with the choice. The samples that are scored have then been seen: judge the
result on others.

The tables `model` and `data` belong to the student; `edgekd students qdr` shows them with comments.

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
