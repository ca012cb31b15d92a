"""Settings of PQKD. What the paper (arXiv 2603.14898) does not tell is called ours."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgekd.schema.base import Strict


class Photonic(Strict):
    """Where the features come from that mix the bases: `model.photonic`."""

    source: str = Field(
        "photonic-tbi",
        description="A photonic device's descriptor, by name or path; behind a colon another source than its own: "
        "`photonic-tbi:exact`, `photonic-tbi:gaussian`, `photonic-tbi:constant`.",
    )
    shots: int | None = Field(None, ge=1, description="Runs of the circuit for a feature vector; none: the device's.")
    refresh: int = Field(31, ge=1, description="Training steps between two feature vectors; ours.")
    beta: float = Field(
        0.9, ge=0, lt=1, description="Share of the past in the moving average of features: the paper's 0.9."
    )
    until: float = Field(
        0.6, gt=0, le=1, description="Share of the steps after which angles and features stay, as QAT's ranges; ours."
    )
    evaluate: Literal["ema", "exact", "shots"] = Field(
        "ema",
        description="Features of the net that is evaluated and deployed: the moving average, the exact distribution's "
        "(a control keeps its own), or those of `evaluate_shots` runs; ours.",
    )
    evaluate_shots: int = Field(10_000, ge=1, description="Runs for `shots`.")


class Spsa(Strict):
    """How the angles of the circuit are trained: `model.spsa`."""

    updates: int = Field(
        10, ge=0, description="Updates before each new feature vector; 0: the angles stay. The paper's 10 an epoch."
    )
    a: float = Field(0.03, gt=0, description="Gain of a step, in radians per loss and radian; ours.")
    c: float = Field(0.1, gt=0, description="Half the distance of the two probed settings, in radians; ours.")
    stability: float = Field(0.1, ge=0, description="Share of all updates that is added to their number in `a`; ours.")
    alpha: float = Field(0.602, gt=0, le=1, description="Decay of `a`; Spall's.")
    gamma: float = Field(0.101, gt=0, le=1, description="Decay of `c`; Spall's.")
    proxy: int = Field(128, ge=2, description="Training pictures on which two settings are compared; ours.")


class ModelConfig(Strict):
    """The recipe's `model` table."""

    kind: Literal["pqkd", "dictionary", "plain"] = Field(
        "pqkd",
        description="`pqkd`: bases mixed by photonic features; `dictionary`: by numbers that are trained; `plain`: "
        "ordinary convolutions.",
    )
    widths: tuple[int, ...] = Field(
        (8, 16, 32),
        min_length=1,
        description="Channels of each 3 x 3 convolution; behind the last of each width, sides are halved.",
    )
    compressed: Literal["all"] | tuple[int, ...] = Field(
        "all", description="Which convolutions are made of bases, the first is 0; the others are ordinary."
    )
    rank: int = Field(4, ge=1, le=9, description="Bases of a compressed convolution; ours.")
    form: Literal["dense", "factorised", "auto"] = Field(
        "dense",
        description="Deployed form of a compressed convolution: one convolution; a depthwise one by the bases and a "
        "1 x 1 one that mixes; `auto`: whichever multiplies less.",
    )
    mixing: int = Field(
        0,
        ge=0,
        lt=1 << 64,
        description="Seed of the fixed mixing, from which it is made again; apart from the recipe's `seed`.",
    )
    settle: int = Field(
        16, ge=0, description="Training batches over which batch norm's statistics are taken anew after training; ours."
    )
    photonic: Photonic = Field(default_factory=Photonic, description="Where the features come from.")
    spsa: Spsa = Field(default_factory=Spsa, description="How the angles are trained.")


class TeacherConfig(Strict):
    """The recipe's `teacher` table."""

    source: str = Field("", description="`arm:NAME`: the FP32 net of that arm. Empty: labels alone.")
    hard: float = Field(0.5, ge=0, le=1, description="Weight of the labels' loss; the rest is the teacher's. Ours.")
    temperature: float = Field(4.0, gt=0, description="Temperature of the teacher's shares; ours.")
