"""Write the field tables of docs/ from the schema: python docs/build.py"""

from pathlib import Path

from edgekd.schema.describe import as_markdown
from edgekd.schema.photonic import Photonic
from edgekd.schema.recipe import Recipe
from edgekd.schema.target import Board
from edgekd.students.fast_hamer.config import ModelConfig as HandModelConfig
from edgekd.students.fast_hamer.config import TeacherConfig as HandTeacherConfig
from edgekd.students.picosam3.teachers.base import TeacherConfig
from edgekd.students.pqkd.config import ModelConfig

TEXTS = {
    "fast-hamer.md": (
        HandModelConfig,
        """# Fast-HaMeR

The mesh of a hand from a picture of it, after *Fast-HaMeR: Boosting Hand Mesh Reconstruction using Knowledge
Distillation* ([arXiv:2603.16444](https://arxiv.org/abs/2603.16444)): small nets with the decoder of
[HaMeR](https://arxiv.org/abs/2312.05251), which a larger one teaches; here with what its authors leave open, integers
and devices.

    edgekd compress --student fast-hamer --target jetson
    edgekd compress fast-hamer --target x86 --set data.source=hands.npz --set data.hands=left
    edgekd run runs/latest crop.png --out drawn.png                # the mesh and the bones on the picture

The shipped run is about **synthetic hands**: a hand model of our own making, posed at random, rendered by edgekd before
photographs that ship. It shows that everything works and what integers cost; how such a net does on real hands it does
not show. On two cores it takes 16 minutes. PA-MPJPE of seed 0, in mm: mean pose 17.2, labels alone 15.3, the larger net
that teaches 14.6, with its answers 15.4, its map 15.5, both 15.4; int8 15.5 by PTQ, 15.4 by QAT. So short a training, of
one seed, ranks no way to learn from the teacher; what one is worth on real hands is
[measured below](#what-a-teacher-is-worth-on-real-hands). `data.alone` says how many fingers bend for themselves: the
recipe's 0.15 makes poses easier than the default, with which so short a training gains about one millimetre. That share,
the rate and the teacher's length were chosen by the error on these same 200 hands.

## The answer

The network takes a crop of a right hand and gives four tensors: `pose`, sixteen rotations of six numbers each, `shape`,
ten coefficients, `scale` and `place`, the camera, apart because in eight bits they need steps of their own. What they
mean in space, 778 vertices and 21 landmarks, is computed on the host by the hand model: no number of it is in an
exported file. Left hands are mirrored when they are cropped.

`data.hand` names the hand model: `edgekd:hand`, ours, or your `MANO_RIGHT.pkl` from mano.is.tue.mpg.de, whose licence
keeps it to non-commercial research. It is read without executing anything in it; its arrays are kept as a file in
edgekd's cache on this machine, and go nowhere else. An `.npz` of another model's arrays, by the names of `HandModel`,
is read too.

## What the paper tells, and what is ours

Of the paper its abstract was read; the authors' code was read whole. Nothing here reproduces their figures.

| | the authors' code | ours |
|---|---|---|
| students | MobileNetV3-L, MobileViT-S, ResNet-50 and -101, ConvNeXt-L | these, ConvNeXt-T, and `nano`, which trains on two CPU cores |
| decoder | HaMeR's, 37 to 44 million parameters whatever the backbone | the same by default; its width is a setting, and the recipe's is narrow |
| teacher | in training mode, so its answers are random | in evaluation mode, frozen, one pass a step |
| maps | the teacher's through a layer that is never trained | the student's through a layer that is |
| places | the teacher sees the middle 192 of 256 columns, its map is stretched over all | columns that both see |
| losses | sums over the batch, so that its size changes their ratio | means, with weights that say so |
| mesh | not distilled | an L1 of its vertices |

`fast-hamer/paper` is the recipe with their choices: `edgekd init fast-hamer/paper`.

**Fewer numbers when deployed.** The decoder's one token attends to itself alone, so queries and keys of its
self-attention do nothing and are left out; the first question is a constant; questions are taken to the map's channels,
which are fewer products. At the authors' sizes and 960 channels, 37.5 million parameters become 29.2 and 403 million
products 35, the answers equal to rounding.

**Which layers stay float.** The last table of

    edgekd inspect runs/latest/bundle/graph.onnx

says how much reads codes and how much float, its first table of each layer (`reads`). Convolutions and linear layers
are int8, those of the decoder and its read-outs too; softmax and GELU are float, and on a Jetson the products of
attention: 62 thousand of 14 million products of the shipped net. A LayerNorm reads codes and computes in float. What
each layer loses is measured, not assumed: `edgekd sensitivity runs/latest` prints it in mm, and with
`--budget 0.1 --write mixed.toml` writes a recipe that keeps the worst in float (`quantize.keep`).

## Data

| `data.source` | what |
|---|---|
| `edgekd:hands` | rendered, with every label |
| `FILE.npz` | crops `x` (N, H, W, 3) with landmarks `uv` in pixels and `xyz_cm`; tested by blocks of neighbouring pictures |
| a folder | FreiHAND's or HO-3D's layout (v2 and v3); for research, you bring it |
| a folder of `.tar` files | HaMeR's training sets; hands of which a landmark is not known in space do not test |

Metrics are those of FreiHAND's and HO-3D's evaluations: PA-MPJPE and PA-MPVPE (in mm, after a similarity transform that
may reflect), AUC, F-scores; and landmarks of the picture within 5 % of the crop. A control is in every table, the mean
hand of the training labels.

## The teacher as a file

HaMeR's 670 million parameters are 2.7 GB, more than one ONNX file can hold: its weights lie beside the graph in
`hamer.onnx.data`, and both files move together. With 12 GB of memory and the authors' checkpoint:

```python
from pathlib import Path

import torch
from edgekd.students.fast_hamer.upstream import load_hamer

net, crop = load_hamer(Path("hamer.ckpt")), torch.zeros(1, 3, 256, 256)
torch.onnx.export(
    net,
    (crop,),
    "hamer.onnx",
    dynamo=True,
    external_data=True,
    opset_version=18,
    input_names=["crop"],
    output_names=["pose", "shape", "camera", "map"],
)
```

Nothing of MANO is in it: what it answers is turned into a mesh as a student's answers are. `model.start` begins
a training with a checkpoint of the authors' students, of which none is published, or with the decoder of HaMeR's:
`--set model.start=hamer.ckpt`, where `model.head` has its sizes.

Every student beside a net of this size, in ONNX Runtime on one thread of a CPU without VNNI, 256 x 256 pixels, random
weights (`python benchmarks/fast_hamer.py`, 25 minutes and 12 GB, [all figures](../benchmarks/results/fast_hamer.md)):

| backbone | decoder | parameters, M | FP32, ms | int8, ms | HaMeR / FP32 | HaMeR / int8 |
|---|---|---|---|---|---|---|
| HaMeR's ViT-H | authors' | 670.4 | 3179 | | | |
| `nano` | narrow | 1.9 | 5.9 | 5.7 | 537 | 554 |
| `mobilenet-v3-large` | authors' | 32.2 | 18.0 | 21.3 | 177 | 149 |
| `mobilenet-v3-large` | narrow | 5.5 (0.8 %) | 10.7 | 21.6 | 297 | 147 |
| `mobilevit-s` | narrow | 7.0 | 75.9 | 61.5 | 42 | 52 |
| `resnet-50` | narrow | 27.4 | 128 | 72 | 25 | 44 |
| `convnext-tiny` | narrow | 30.1 | 182 | 176 | 17 | 18 |
| `convnext-large` | authors' | 228.7 | 1212 | 952 | 2.6 | 3.3 |

ResNets gain most from int8 here. MobileNetV3 loses: profiled, 29 of the 68 convolutions of the narrow one stay in float
in ONNX Runtime and take half of the time, codes being taken there and back.

## What a teacher is worth on real hands

400 crops of real hands of few sessions, 80 of which test, in blocks apart; `nano` of this recipe, begun on synthetic
hands, then 600 steps; three seeds, means with 95 % intervals over the test pictures
(`python benchmarks/hands.py`, [figures](../benchmarks/results/hands.md)):

| learned from | PA-MPJPE, mm | against labels alone, paired |
|---|---|---|
| labels alone | 9.9 [9.1, 10.8] | |
| MediaPipe alone | 11.0 [10.3, 11.8] | +1.1 [+0.8, +1.4] |
| both | 10.3 [9.5, 11.1] | +0.3 [+0.1, +0.5] |
| both, int8 by PTQ, by QAT | 10.3, 10.2 | |
| a tenth of the labels alone | 23.2 [22.0, 24.3] | |
| a tenth of the labels, and MediaPipe | 12.4 [11.5, 13.3] | -10.8 [-12.0, -9.6] |

The mean hand has 20.5, MediaPipe itself 9.3. Where all hands have labels the teacher is worth less than nothing; where
few have, eleven millimetres; and without any label its answers alone come within 1.8 mm of it. The student takes 0.6 ms
in LiteRT, MediaPipe's full network 10: 15 to 25 times as long in three runs of the program. int8 is slower than FP32 in
so small a net on this CPU, 0.8 ms, but a third as large.
Training and test are of the same few sessions: other people's hands are another question. Of two lengths that were
tried, 400 steps (labels alone 10.3) and 600, this is the better, by the same 80 pictures.

## The table `model`
""",
    ),
    "pqkd.md": (
        ModelConfig,
        """# PQKD

A classifier whose convolutions are mixed by the clicks of a photonic circuit, after *Photonic quantum-enhanced
knowledge distillation* ([arXiv:2603.14898](https://arxiv.org/abs/2603.14898)), with every control that tells what the
photons do. The circuit is asked in training alone: what is deployed is an ordinary small network.

    edgekd compress --student pqkd --target x86
    edgekd compress pqkd --target x86 --set data.source=edgekd:sprites --set data.flip=true   # clothing
    edgekd compress pqkd --target x86 --set data.source=mnist                                # a folder of idx files

## What the paper tells, and what is ours

The paper's code is not public. Its abstract was read, and a review that quotes the whole; nothing here reproduces its
figures.

| | the paper | ours |
|---|---|---|
| circuit | 16 modes, threshold detectors | 8 photons in every second mode, two loops of one bin, no phases |
| features | two halves of 8 modes, 256 patterns each: 512 shares | neighbouring modes make a half |
| smoothing | moving average, 0.9, optional | begins with the first vector |
| convolution | R bases, mixed by a fixed linear map of the features | rank 4, a map of signs, of the direction alone |
| networks | compact CNNs | 3 x 3 convolutions, batch norm, ReLU, pooling, a mean over the picture, a linear layer |
| loss | labels blended with the teacher's shares at a temperature | 0.5 and 4 |
| outer loop | 10 SPSA updates of the angles, then an epoch of Adam | gains, training pictures, an end at 60 % |
| evaluation | not known | the moving average; batch norm's statistics taken anew |

**Mixing.** `W[o, i] = sum_r M[o, i, r] B_r`. The bases B are trained; `M = gain * A u`, u the direction of the
features, A a matrix of signs, which are bits of the counter-based generator Philox with the key (`mixing`, layer): A is
made again wherever it is needed, in blocks. With u on a grid of 2^-24 all sums are of whole numbers, so that M is the
same on any machine, bit for bit. As |u| = 1, numbers in M have the variance of He's initialisation with any source, and
sources differ by nothing else.

**Outer loop.** Every `refresh` steps: `updates` of the angles by SPSA (Spall 1998), then new features into the moving
average. SPSA compares the loss of two settings on `proxy` training pictures, drawn anew for each update, never on
pictures that test: a validation set in this place would be trained on. Both settings have shots of their own. Angles,
average and mixing lie in the net's state, and randomness comes from (seed, step), so that a run that was cut off ends
with the same weights.

**After training** the student is folded: one ordinary convolution for each (`form = "dense"`), or a depthwise one by
the bases and a 1 x 1 one that mixes (`factorised`), the same function; `auto` takes what multiplies less, which is the
latter where R / outputs + R / 9 < 1. Multiplications are not time: depthwise convolutions are slow on many devices, so
measure. Everything behind it, QAT, export, engines, works on the folded form.

**The stored form**, `arms/NAME.stored.safetensors` in a bundle, holds bases, norms, head and the direction of the
features; for the net of this recipe 7 kB, of which the direction, 512 numbers, is 2 kB.
`edgekd.students.pqkd.stored.load_stored` makes the folded net of it, the same bits as the run's. It is smaller than the
folded weights; what runs on the device is those.

## The arms

Every arm is trained for as many steps, on the same pictures, and all but the teacher with the same teacher.

| arm | what it is | what a difference to `pqkd` tells |
|---|---|---|
| `teacher` | plain, twice as wide, labels alone | what is left to gain |
| `plain` | ordinary convolutions of the same widths | what the few bases cost: as large once deployed |
| `tiny` | a plain net of about as many numbers as the stored form | whether to store a small net instead |
| `dictionary` | mixing trained like any weight | what not training it costs |
| `pqkd` | features of 200 shots, angles trained | |
| `exact` | features of infinitely many shots | what the noise of shots does |
| `fixed` | angles stay as they were drawn | what training them does |
| `gaussian` | one random vector in place of the features | what photons do that a random vector does not |
| `constant` | all features the same | whether the features do anything |

Compare these nets in FP32. PTQ keeps them as they are; QAT trains the folded weights on, which then are mixes of a few
bases no longer, and may end above its own FP32 net: that is the gain of more trained numbers, not of photons.

Photons help where `pqkd` beats `gaussian` and `constant` by more than seeds differ. One run is one seed, and its
interval is that of the test pictures alone: train several seeds (`--set seed=1`) before you believe a difference, or
`python benchmarks/pqkd.py`, which pairs them.

**What the controls say.** On 10,000 digits of MNIST, three seeds, 2,000 steps each
([figures](../benchmarks/results/pqkd_mnist.md)), the photons do nothing that a random vector does not: PQKD has 91.4
± 1.1 %, one random vector 92.4 ± 0.4, a constant one 92.1 ± 1.0, angles that stay 91.7 ± 0.9, infinitely many shots
90.6 ± 0.2. What is lost is lost by the fixed mixing: trained, it has 98.5 ± 0.1, and a plain net of as many stored
bytes 96.8 ± 0.2. On 10,000 pictures of CIFAR-10, a JPEG copy, two seeds of 600 steps ([figures](../benchmarks/results/pqkd_cifar.md)),
it is the same: PQKD 45.6 ± 1.5, one random vector 46.1 ± 0.6, a constant one 44.7 ± 0.1, angles that stay 45.3 ± 1.8;
trained mixing 59.0 ± 0.7. If you want a small file, store a small net. All of that is about our reading of the paper, whose
code and networks are not public.

Another net of your own beside them is an arm with `method = "control"`; a teacher is any arm that trains a float net,
`teacher.source = "arm:NAME"`, see [recipes](recipes.md).

## The device

`model.photonic.source` names a [photonic device](photonic.md) by its descriptor; behind a colon stands another source
than its own: `photonic-tbi:perceval`, `photonic-tbi:orca-rest`, `mine.toml`. What the descriptor says is part of a
step's key. From a source that cannot be seeded a run cannot be repeated.

## Data

`edgekd:digits` (a cut of MNIST) and `edgekd:sprites` ship. Other data by path: a folder with the four idx files of
MNIST or its like, gzipped or not; an `.npz` file with `x_train`, `y_train`, `x_test`, `y_test`, pictures
(N, H, W) grey or (N, H, W, 3) in colour, and `classes` where classes have names. `deploy.shape` is their size.

## The table `model`
""",
    ),
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
    "photonic.md": (
        Photonic,
        """# Photonic features

Photons that meet on beam splitters leave in patterns that are hard to compute for many of them. PQKD
([arXiv:2603.14898](https://arxiv.org/abs/2603.14898)) conditions a student on such patterns. edgekd simulates the
circuit exactly, takes clicks from other simulators or over the network in its place, and has sources without photons
to compare with. No source is needed where the student is deployed.

    edgekd photonic features --random 0                            # 512 features, the largest of them printed
    edgekd photonic sample angles.npy --shots 1000 --out clicks.npy
    edgekd photonic profile                                        # milliseconds, shots a second, memory, growth
    edgekd photonic features --random 0 --device photonic-tbi:exact --set imperfections.efficiency=0.8

`--device` is a descriptor's name or path, behind a colon another source than its own; `--set` changes any of its
fields, listed below, for a call. Angles are radians in a `.npy` or `.json` file; `--random SEED` draws them uniformly.
`--json` adds what made the numbers: source, tool, host, time, circuit, angles, seed.

## The circuit

A time-bin interferometer, as [ORCA's PT
series](https://nvidia.github.io/cuda-quantum/latest/using/backends/hardware/photonic.html) is built: photons enter in
time bins, the modes, and pass delay loops one after the other. A loop of L bins lets bins a and a + L meet on a beam
splitter, a = 0, 1, .. in this order, so `modes - L` angles set it; two loops of one bin behind 16 modes have 30. A beam
splitter of angle t is the rotation

    [[cos t, sin t], [-sin t, cos t]]

of bins a and a + L, its reflectivity cos(t)^2. With `phases` a phase is turned on the earlier bin before each beam
splitter; the phases follow the angles in the same order. Detectors tell light from none: a shot is a row of clicks,
mode 0 first. The features are how often each pattern occurs in the first and in the second half of the modes, 2^8 + 2^8
= 512 numbers for 16 modes, each half adding to 1; a pattern is a binary number, its first mode the highest bit.

Imperfections are off by default. Loss: a photon is lost with probability `loop_loss` in each round trip, seen with
probability `efficiency`. Distinguishability: each photon is, with probability sqrt(`overlap`), in the state that all
share, else in one of its own. Dark counts: `dark` for each detector and shot. Angles are drawn anew around their
values (`jitter`) and wander (`drift`) every `hold` shots; these two have samples only, no exact features.

## Sources

| source | what it gives | clicks | seed |
|---|---|---|---|
| `simulator` | shots of the exact simulator, with imperfections | yes | yes |
| `exact` | the limit of infinitely many shots, with all imperfections but moving angles | no | not needed |
| `gaussian` | control: a random vector | no | yes |
| `constant` | control: every bin of a half the same | no | not needed |
| `perceval` | shots by Perceval's sampler, ideal circuits alone | yes | no, see below |
| `orca-rest` | what a service behind HTTP answers, hardware or not | yes | no |

**`gaussian`** tells whether the patterns matter or any numbers would do. It is normally distributed, with the same mean
as a histogram, 1 / bins, and a standard deviation over a half's bins of `spread` times that: by default 3.5, what the
exact features of the shipped circuit have (root mean square over 100 random settings of its angles). A linear map with
independent normal weights turns two vectors of the same length into numbers of the same distribution; with another
length the control would also change the scale of the student's weights. It is not made positive, which would change the
distribution. The vector is drawn once a run, by the first number of the seed; with `fresh` for every call, as an
ablation of a related method did, by the reading of those who reproduced it, which is another question: then the student
sees noise. **`constant`** has the mean, and no spread. Both are ours.

**`perceval`** runs in an environment of its own: `edgekd fetch perceval --accept-licence`. Perceval is under MIT, but
the binary that it needs, exqalibur, is closed and under CC BY-NC-ND 4.0: no commercial use. It is never imported and
never required. Its process takes seconds to start and stays up. The seed is passed on, but its sampler does not always
give the same clicks for it: a run with this source cannot be repeated bit for bit.

**`orca-rest`** submits to a service and waits:

    [options.orca-rest]
    url = "https://..."    # else the environment variable ORCA_ACCESS_URL
    machine = "PT-1"       # `target` of the request
    timeout = 10.0         # seconds an answer may take
    wait = 300.0           # seconds a job may take
    retries = 3            # after a failure that may pass, with 0.5, 1, 2, .. seconds between them
    pause = 0.5

The token is `ORCA_AUTH_TOKEN`, sent as a bearer; it does not follow redirections. The protocol is that of
CUDA-Q's target `orca`:

| request | body | answer |
|---|---|---|
| `POST URL/v1/submit` | `input_state`, `loop_lengths`, `bs_angles`, `ps_angles`, `n_samples`, `target` | `job_id` |
| `GET URL/v1/get_job/ID` | | `results`: photon numbers, a string a shot; before that `job_status` or `error_message` |

More than one photon in a mode is one click. Which sign a service's beam splitters have, CUDA-Q's documents do not say:
compare a circuit of few modes with `exact` before you trust one. An answer of another length, with too few shots or
with anything but digits is refused. A submission whose answer was lost is sent again, and the service may run it twice.

## Hardware of your own

A class with `features` in a file; `sample` besides, where it gives single shots. Name it behind the colon:
`--device photonic-tbi:lab.py:Lab`, or `source = "lab.py:Lab"` in a descriptor. An installed package registers the entry
point `edgekd.photonic`.

```python
import numpy as np
from edgekd.photonic.clicks import histogram
from edgekd.photonic.sources.registry import circuit_of


class Lab:
    def __init__(self, device, options):
        self.circuit = circuit_of(device)  # photons, loops; raises where they do not fit

    def sample(self, angles, shots, seed):  # (shots, modes) of True and False
        reflectivities = np.cos(self.circuit.checked(angles)) ** 2
        return np.random.default_rng(seed).random((shots, self.circuit.modes)) < reflectivities[0]

    def features(self, angles, shots, seed):
        return histogram(self.sample(angles, shots, seed))
```

`Options`, a pydantic model as attribute of the class, checks `[options."lab.py:Lab"]` of the descriptor.

## What it costs

`edgekd photonic profile` measures on this host: the median time of a feature vector and of shots, the memory that a
call allocates; and how they grow with the modes. `on the device` is an estimate: set-up, then for each shot the bins of
all modes and of every loop's delay, by the descriptor's `clock`. The numbers of the shipped descriptor are round
guesses; no device's are known here. Write your own.

`python benchmarks/photonic.py` does the same work with Perceval 1.3.1, Piquasso 8.0.2 and The Walrus 0.22.0 in turns,
on one CPU, and compares the answers ([figures](../benchmarks/results/photonic.md)). At 16 modes and 8 photons, on a
two-core AMD EPYC: every probability in 4.4 ms, Perceval's SLOS 247 ms, the largest difference 6e-17; 10,000 click
patterns in 8.0 ms, Perceval's sampler 208 ms by Clifford and 980 ms by SLOS; a feature vector of 200 shots in 3.5 ms.
What gains is that loops leave most of an interferometer empty: for a random complex one it is 18 ms against 188. Up to
10 modes Perceval is the faster one for probabilities. Beyond, 20 modes and 10 photons take 0.8 s and 206 MiB for all 20
million probabilities; 200 shots of 40 modes and 20 photons take 74 ms, because shots never need them.

![Time against modes](../benchmarks/results/photonic.png)

## What is the paper's, and what is ours

The paper's code is not public; what is said of it here comes from its abstract and from public reviews of it.

| | the paper | ours |
|---|---|---|
| modes | 16 | |
| detectors | clicks | |
| features | two halves of 8 modes, 256 bins each | neighbours form a half, or every second mode (`interleaved`) |
| shots | 200 in a trace it shows | 200 by default |
| photons, loops, phases | not told | 8, in every second mode; two loops of one bin; none |
| imperfections | drift emulated | all, off by default |
| controls | a fixed circuit, random and learned vectors | `gaussian` and `constant` as defined above |

## Fields of a descriptor, schema version 1

A photonic device's descriptor is a TOML file like a board's, with `kind = "photonic"`; `extends` works as for
[boards](targets.md). No network runs on it: `edgekd compress --target` refuses it.
""",
    ),
    "teachers.md": (
        TeacherConfig,
        """# Teachers

A student may learn from a teacher: a large network, or masks that a person or a program made. Of the shipped students
`picosam3` does, [hands](#hands) have teachers of their own, and `pqkd` learns from another arm. The recipe's table
`teacher` names it:

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

## An arm as teacher

`source = "arm:NAME"` is the FP32 net of another arm of the run, with method `teach` or `control`: it is trained first,
and answers in training, on the pictures as they are drawn. The student [`pqkd`](pqkd.md) learns so, and
[one of your own](your-own-student.md) may. The arm that teaches clears its own teacher, or has another; a circle is
refused.

```toml
[teacher]
source = "arm:big"

[arms.big]
method = "control"
set = { "model.widths" = [32, 64, 128], "teacher.source" = "" }
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

`edgekd teach` without `--shard` asks all. It prints answers per second and bytes, of `picosam3` 16 kB an answer.
Killed, it goes on and loses a shard at most, 128 answers; several machines end with the bytes that one would write. A
folder tells what it was asked, of which data, by which files. One that answers something else, lacks a shard or is
damaged is refused with the reason. The teacher itself need not be where the student trains.

A bundle's manifest and its report name the teacher, how many answers it gave, and their SHA-256.

## The loss

`a teacher + (1 - a) label + 0.4 area`, each an instance's own, as in [PicoSAM3](https://arxiv.org/abs/2603.11917): `a`
is the teacher's own estimate of its IoU (`trust = "score"`) or a number for all. The authors use the batch's mean
(`per = "batch"`); an instance's own is ours. Quantization-aware training has the same loss, with the distillation at
the neck.

## What LiteMedSAM is worth on the cells

Less than labels. Over three seeds and 1,107 test nuclei, with equally many training crops:

| trained from | IoU in the crop, 95 % interval | against the labels alone |
|---|---|---|
| labels alone | 84.1 [82.5, 85.6] | |
| LiteMedSAM alone | 77.0 [75.5, 78.5] | -7.1 [-7.6, -6.6] |
| both | 78.4 [76.7, 80.0] | -5.7 [-6.6, -5.0] |
| a tenth of the labels alone | 79.6 [77.6, 81.5] | |
| a tenth of the labels, and LiteMedSAM | 77.2 [75.6, 78.6] | -2.4 [-3.6, -1.2] |

The ellipse in the box, which needs no network, has 78.3. On the training crops this teacher's masks have an IoU of 82 %
with the true ones, while it estimates 90 % and is trusted by that. A teacher is worth having where its masks are better
than those you have: `python benchmarks/promptable.py` makes this [table](../benchmarks/results/promptable.md).

## Hands

[`fast-hamer`](fast-hamer.md) learns from an arm of its own run, a larger student, or from one of these:

| `source` | what answers | needs |
|---|---|---|
| `mediapipe` | MediaPipe's hand landmarks: 21 joints in metres and in the picture; no mesh, no map | `edgekd fetch mediapipe-hands`, `edgekd[litert]` |
| `mediapipe-lite` | its smaller network | the same |
| `hamer:FILE` | HaMeR: joints, rotations, shape, and its last map | `edgekd[hamer]`, the authors' `hamer.ckpt`, MANO in `data.hand` |

```toml
[teacher]
source = "mediapipe"
labels = 1.0          # of the labels' loss, where a hand has labels
outputs = 1.0         # of the same loss against the answers
features = 0.0        # of the distance from the teacher's map; MediaPipe gives none
```

The shipped recipe's arms `features` and `hybrid` compare maps, and its arm `teacher` is the larger net: leave them out
of a copy of it (`edgekd init fast-hamer`) that names MediaPipe.

MediaPipe (Apache-2.0, out of the wheel `mediapipe` 0.10.21, which is never imported) looks twice at a hand, as it does
when it follows one: where the first look finds it, the second sees it upright. On the 400 crops of
`hand_real_400_128.npz`, left hands mirrored, its PA-MPJPE is 9.9 mm, the lite network's 10.7; with one look 10.7 and
11.2. Its hands have the size of the labels' (0.99 of it, deviation 0.06). It was made for photographs: of edgekd's
synthetic hands it says no more than their mean pose does (21.7 mm, the mean pose 20.8, over 100 test hands), so there
another arm is the teacher.

Every training hand is asked, labelled or not. Of an answer landmarks are kept, in float16, 210 bytes, with HaMeR's
rotations and shape 422. They are moved to whatever crop is drawn: turned about the camera's axis and mirrored in space,
an affine map in the picture. `views` above 1 asks about so many crops, its own and others that are drawn as training
crops are, and training draws one of the answers. An answer counts as much as the teacher is sure that a hand is there.

A map cannot be moved. With `features` above 0 the training crops are the views themselves, so give as many as you can
keep: a view of a hand is 0.5 MB. HaMeR sees the middle 192 of 256 columns; with `align` only these columns of the
student's map are compared.

### The table `teacher` of `fast-hamer`

"""
        + as_markdown(HandTeacherConfig)
        + """

## The table `teacher` of `picosam3`
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

One arm has the method `teach`: its FP32 net is what the others are compared to. More FP32 nets of the same run are
arms with the method `control`, trained as their `set` says: a smaller net, another loss, a teacher.

[How a network becomes integers](quantization.md) explains arithmetic, ranges, `quantize.keep`, the controls and
`edgekd sensitivity`.

The tables `model`, `data` and `teacher` belong to the student; `edgekd students qdr` shows them with comments, and
[teachers](teachers.md) tells of the last. A network of your own is named as `student = "my_net.py:MyStudent"`:
[your own student](your-own-student.md).

Gates are in the metric's unit and about its mean over samples; a gain is what becomes better, upwards, or downwards
where the task calls its metric an error. A task says what its gains count from: the denoiser's from the noisy input, a baseline that is scored like an answer; `picosam3`'s from the ellipse in
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
