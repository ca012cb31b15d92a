"""Hand meshes: samples, metrics, the mean pose as control, pictures. numpy and Pillow."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.graph import answers
from edgekd.graph.resize import scale
from edgekd.schema.io import ImageInput, IoRecord, TensorOutput
from edgekd.schema.load import parse
from edgekd.students.base import Arrays, Sample
from edgekd.students.fast_hamer import metrics
from edgekd.students.fast_hamer.config import DataConfig
from edgekd.students.fast_hamer.crop import crop_of, cut, labels_in
from edgekd.students.fast_hamer.data.base import Hand, Hands
from edgekd.students.fast_hamer.data.load import RENDERED, labelled, load
from edgekd.students.fast_hamer.draw import draw_hand
from edgekd.students.fast_hamer.hand.camera import project
from edgekd.students.fast_hamer.hand.load import SHIPPED, hand_file, load_hand
from edgekd.students.fast_hamer.hand.model import HandModel
from edgekd.students.fast_hamer.hand.rotations import from_6d
from edgekd.students.fast_hamer.hand.skinning import skin
from edgekd.students.fast_hamer.mean import mean_hand
from edgekd.students.simple import ANY, SimpleTask

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, as HaMeR's."""
OUTPUTS = ("pose", "shape", "scale", "place")
MEAN_POSE = "mean pose"
SHOWN = 256
"""Least side of a drawing, in pixels."""


class HandTask(SimpleTask):
    """The mesh of the hand that fills a crop."""

    metric, unit = "pa_mpjpe", "mm"
    baseline: str | None = MEAN_POSE
    errors = ("pa_mpjpe", "mpjpe", "pa_mpvpe")
    metrics = {
        "pa_mpjpe": ("PA-MPJPE", "mm"),
        "mpjpe": ("MPJPE from the wrist", "mm"),
        "auc": ("AUC of landmarks", ""),
        "pa_mpvpe": ("PA-MPVPE", "mm"),
        "f_5": ("F at 5 mm", ""),
        "f_15": ("F at 15 mm", ""),
        "pck_5": ("landmarks within 5 % of the crop", "%"),
    }

    def __init__(self, data: dict[str, Any], seed: int) -> None:
        super().__init__(data, seed)
        self.config = parse(DataConfig, data, "data")

    @property
    def about(self) -> str:  # type: ignore[override]
        """The data in a line."""
        if self.config.source == RENDERED:
            return "synthetic hands that edgekd renders, with a fixed seed"
        return "hands apart by the split of their source, or by blocks of neighbouring pictures"

    def folders(self) -> tuple[str, ...]:
        """The data source, and the hand model where it is a person's own. Raises MissingError without that one."""
        if self.config.hand != SHIPPED:
            hand_file(self.config.hand)
        named = (self.config.source, self.config.hand)
        return tuple(name for name in named if not name.startswith("edgekd:"))

    @cached_property
    def hand(self) -> HandModel:
        """What poses and shapes are turned into a mesh with."""
        return load_hand(self.config.hand)

    @cached_property
    def hands(self) -> Hands:
        """All that the source holds."""
        return load(self.config)

    @cached_property
    def labelled(self) -> set[str]:
        """Ids of the training hands whose labels are used."""
        return labelled(self.config, self.hands)

    def io(self, shape: tuple[int, int]) -> IoRecord:
        """A colour crop; rotations of six numbers, a shape, a camera: nothing of a hand model is in the graph."""
        crop = ImageInput(name="crop", shape=(1, 3, *shape), mean=MEAN, std=STD, resize="stretch")
        return IoRecord(inputs=(crop,), outputs=tuple(TensorOutput(name=name) for name in OUTPUTS))

    def evalset(self) -> list[Sample]:
        """Test hands, each cropped by its box, left ones mirrored."""
        return [self.sample_of(hand) for hand in self.hands.test]

    def sample_of(self, hand: Hand) -> Sample:
        """A hand's crop, and what is known of it there."""
        crop = crop_of(hand)
        truth = labels_in(crop, hand, len(self.hand.template))
        return Sample(hand.id, cut(self.hands.picture(hand.picture), crop, self.config.side), truth)

    def decode(self, outputs: Arrays, io: IoRecord) -> Arrays:
        """The outputs, and the hand they mean: `rotations` (16, 3, 3), `landmarks` (21, 3) and `vertices` (V, 3) in
        metres from the wrist on, `pixels` (21, 2) and `outline` (V, 2), the same in sides of the crop."""
        said: Arrays = answers.decode(outputs, io)
        rotations = from_6d(said["pose"].reshape(16, 6))
        (vertices,), (landmarks,) = skin(self.hand, rotations[None], said["shape"][None])
        camera = np.concatenate([said["scale"], said["place"]])
        return {**said, **seen(landmarks, vertices, camera), "rotations": rotations}

    def score(self, prediction: Arrays, truth: Arrays) -> dict[str, float]:
        """Of landmarks PA-MPJPE and MPJPE in mm, AUC and, where the picture's are known, PCK; of meshes PA-MPVPE in mm
        and F-scores."""
        found, true = prediction["landmarks"], truth["joints"]
        aligned = metrics.procrustes(found, true)
        values: dict[str, Any] = {
            "pa_mpjpe": metrics.mean_error(aligned, true),
            "mpjpe": metrics.root_error(found, true),
            "auc": metrics.area(metrics.distances(aligned, true)),
        }
        if truth["has_vertices"] and "vertices" in prediction:
            mesh, target = prediction["vertices"], truth["vertices"]
            aligned = metrics.procrustes(mesh, target)
            values["pa_mpvpe"] = metrics.mean_error(aligned, target)
            values |= {f"f_{mm}": metrics.f_score(aligned, target, mm / 1000) for mm in (5, 15)}
        if truth["has_pixels"].any():
            shares = metrics.found_shares(prediction["pixels"], truth["pixels"], truth["has_pixels"], 1.0)
            values["pck_5"] = 100 * shares[0.05]
        return {name: float(value) for name, value in values.items()}

    def controls(self) -> dict[str, Callable[[Sample], Arrays]]:
        """The mean of the training hands, whatever the picture shows."""
        return {MEAN_POSE: lambda sample: self.mean}

    @cached_property
    def known(self) -> list[Arrays]:
        """What the labels that are used say, in plain crops."""
        hands = [hand for hand in self.hands.training if hand.id in self.labelled]
        return [labels_in(crop_of(hand), hand, len(self.hand.template)) for hand in hands]

    @cached_property
    def mean(self) -> Arrays:
        """The mean hand of the training labels: each hand laid on the others first, the mean as most of them lie.
        Where no label in space is used, the one that decoding counts from."""
        whole = [truth for truth in self.known if truth["has_joints"].all()]
        if not whole:
            pose, form, camera = mean_hand(self.hand, self.known)
            means = zip(OUTPUTS, (pose, form, camera[:1], camera[1:]), strict=True)
            return self.decode({name: value[None] for name, value in means}, self.io(ANY))
        made = {"landmarks": mean_of(np.stack([truth["joints"] for truth in whole]))}
        if all(truth["has_vertices"] for truth in whole):
            made["vertices"] = mean_of(np.stack([truth["vertices"] for truth in whole]))
        trust = np.sum([truth["has_pixels"] for truth in self.known], 0)[:, None]
        pixels = np.sum([truth["pixels"] * truth["has_pixels"][:, None] for truth in self.known], 0)
        return {**made, "pixels": pixels / np.maximum(trust, 1e-6)}

    def draw(self, raw: Any, prediction: Arrays) -> NDArray[np.uint8]:
        """The crop with the mesh and the bones of an answer."""
        return self._drawn(raw, prediction["pixels"], prediction["outline"], prediction["vertices"][:, 2])

    def draw_truth(self, sample: Sample) -> NDArray[np.uint8]:
        """The crop with the true bones, of the landmarks that are known there."""
        known = sample.truth["has_pixels"][:, None] > 0
        return self._drawn(sample.raw, np.where(known, sample.truth["pixels"], np.nan), None, None)

    def _drawn(self, raw: Any, pixels: Any, outline: Any, depth: Any) -> NDArray[np.uint8]:
        times = -(-SHOWN // min(raw.shape[:2]))
        picture = scale(raw, (raw.shape[0] * times, raw.shape[1] * times), "bicubic")
        sides = np.array(picture.shape[1::-1])
        mesh = None if outline is None else (outline + 0.5) * sides
        return draw_hand(picture, (pixels + 0.5) * sides, mesh, depth, self.hand.faces)


def seen(landmarks: NDArray[Any], vertices: NDArray[Any], camera: NDArray[Any]) -> Arrays:
    """A hand as it lies in the model's place, and its camera (3,): the hand from the wrist on, and what is seen."""
    return {
        "landmarks": landmarks - landmarks[:1], "vertices": vertices - landmarks[:1],
        "pixels": project(landmarks, camera), "outline": project(vertices, camera),
    }  # fmt: skip


def mean_of(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean form (P, 3) of hands (N, P, 3): each is laid on the mean before by `procrustes`, three times."""
    plain = points.mean(0)
    mean = plain.astype(np.float64)
    for _ in range(3):
        mean = metrics.procrustes(points, np.broadcast_to(mean, points.shape), reflect=False).mean(0)
    laid = metrics.procrustes(mean, plain, reflect=False)
    return np.asarray(laid - laid[:1] + plain[:1], np.float32)
