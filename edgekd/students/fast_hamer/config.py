"""The recipe's tables of Fast-HaMeR."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from edgekd.schema.base import Strict

Backbone = Literal[
    "nano", "mobilenet-v3-large", "mobilevit-s", "resnet-50", "resnet-101", "convnext-tiny", "convnext-large"
]


class HeadConfig(Strict):
    """The decoder that asks the backbone's map one question; the defaults are the authors'."""

    depth: int = Field(6, ge=1, description="Layers: self-attention, cross-attention, two linear ones.")
    width: int = Field(1024, ge=8, description="Of the one token.")
    heads: int = Field(8, ge=1, description="Heads of attention.")
    head_width: int = Field(64, ge=4, description="Of each of them.")
    hidden: int = Field(1024, ge=8, description="Width between the two linear layers.")


class LossConfig(Strict):
    """How much each distance from the labels counts; a teacher's answers count alike, times `teacher.outputs`."""

    joints: float = Field(10.0, ge=0, description="Of landmarks in metres, from the wrist on; absolute.")
    pixels: float = Field(5.0, ge=0, description="Of landmarks in sides of the crop; absolute.")
    rotations: float = Field(1.0, ge=0, description="Of entries of rotation matrices; squared.")
    shape: float = Field(0.01, ge=0, description="Of shape coefficients; squared.")
    vertices: float = Field(10.0, ge=0, description="Of the mesh in metres, from the wrist on; absolute. Not HaMeR's.")
    heat: float = Field(
        0.0, ge=0, description="Of where the backbone's map sees each landmark, in training alone; not HaMeR's."
    )
    reduce: Literal["mean", "sum"] = Field(
        "mean", description="Over hands and numbers; HaMeR's is `sum`, whose weights are 0.05, 0.01, 0.001, 0.0005, 0."
    )


class ModelConfig(Strict):
    """The recipe's `model` table."""

    backbone: Backbone = Field(
        "nano", description="What sees the picture; all but `nano` and `convnext-tiny` are the authors'."
    )
    width: float = Field(1.0, gt=0, le=4, description="Factor of the channels of `nano`.")
    places: int = Field(
        0, ge=0, description="Sides of the map, whose places the decoder then learns apart; 0: it does not, as HaMeR."
    )
    head: HeadConfig = Field(default_factory=HeadConfig, description="The decoder.")
    loss: LossConfig = Field(default_factory=LossConfig, description="What is trained for.")
    start: str = Field(
        "",
        description="A checkpoint to begin with: of a student of Fast-HaMeR, whole; or HaMeR's, of which the decoder "
        "is taken, all of it but what reads the map, where the student's has its sizes.",
    )


class DataConfig(Strict):
    """The recipe's `data` table."""

    source: str = Field(
        "edgekd:hands",
        description="`edgekd:hands`: hands that edgekd renders itself; an `.npz` of crops with `uv` and `xyz_cm`; a "
        "folder of FreiHAND's or of HO-3D's layout; a folder of HaMeR's `.tar` files. Meshes of the last three are "
        "MANO's: without its file in `hand` their landmarks alone are used.",
    )
    hand: str = Field(
        "edgekd:hand", description="The hand model: edgekd's own; your `MANO_RIGHT.pkl`; an `.npz` of such arrays."
    )
    hands: Literal["right", "left"] = Field(
        "right", description="Which hand the pictures show, where their source does not tell."
    )
    side: int = Field(128, ge=32, multiple_of=32, description="Side of a training crop, in pixels; the paper's is 256.")
    train: float = Field(0.8, gt=0, lt=1, description="Share that trains, where the source has no split of its own.")
    split: int = Field(
        0, ge=0, description="Seed of what edgekd renders; of `.npz` and `.tar` files which blocks test."
    )
    tests: int = Field(200, ge=1, description="At most so many test hands, taken evenly.")
    rendered: int = Field(2000, ge=16, description="Hands that are rendered to train on.")
    alone: float = Field(
        0.5, ge=0, le=1, description="Share of the rendered fingers that bend for themselves; the others bend together."
    )
    labelled: float = Field(1.0, ge=0, le=1, description="Share of the training hands whose labels are used.")
    scale: float = Field(0.3, ge=0, lt=1, description="How far training crops grow and shrink.")
    turn: float = Field(30, ge=0, le=180, description="How far they are turned, in degrees, six times of ten.")
    shift: float = Field(0.02, ge=0, le=0.5, description="Deviation of their centre, a share of the crop's side.")
    colour: float = Field(0.2, ge=0, lt=1, description="How far each colour's gain is from one.")


class TeacherConfig(Strict):
    """The recipe's `teacher` table. Weights of zero leave a part out."""

    source: str = Field(
        "",
        description="`arm:NAME`, the FP32 net of another arm; `mediapipe` or `mediapipe-lite`, which `edgekd fetch "
        "mediapipe-hands` brings; `hamer:FILE`, HaMeR's checkpoint; empty: labels alone.",
    )
    labels: float = Field(1.0, ge=0, description="Weight of the labels' loss, where a hand has labels.")
    outputs: float = Field(0.0, ge=0, description="Weight of the same loss against the teacher's answers.")
    features: float = Field(0.0, ge=0, description="Weight of the distance of the last maps, the student's adapted.")
    adapter: Literal["student", "teacher"] = Field(
        "student",
        description="Which map goes through a 1 x 1 convolution to the other's channels: the student's, which is "
        "trained for it, or the teacher's, which is not; the latter is what the authors' code does.",
    )
    align: bool = Field(
        True, description="Compare the columns that both see; else the teacher's map is stretched, as the authors do."
    )
    scaled: bool = Field(True, description="Distance of the maps over the variance of the teacher's.")
    views: int = Field(
        1,
        ge=1,
        description="Crops that a teacher outside is asked about for each hand: its own, others. With its `features` "
        "they are all that is trained on.",
    )
    cache: str = Field("", description="A folder that `edgekd teach` filled; empty: the run fills its own.")

    @model_validator(mode="after")
    def _something_is_learnt(self) -> TeacherConfig:
        if self.source and not (self.labels or self.outputs or self.features):
            raise ValueError("`labels`, `outputs` and `features` are all 0, so nothing is learnt")
        return self
