"""Seeded scenes: solid shapes standing on a floor, with labels and depth for every pixel.

The training, calibration and held-out sets of ``m3vit-micro`` are these scenes with disjoint seeds. A scene has a far
wall, a floor that comes towards the viewer, and three to six shapes of four classes. A shape stands on the floor where
the floor has the shape's depth, is smaller and hazier the farther it is, and hides what lies behind it. Hue is only a
hint of the class (hues of neighbouring classes overlap); outline and shading tell the rest. NumPy only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]

CLASS_NAMES = ("background", "ball", "box", "cone", "cross")
NEAR_METRES = 1.5  # depth of the floor at the lower image edge
FAR_METRES = 8.0  # depth of the wall
TRAIN_FIRST_SEED = 0
HELD_OUT_FIRST_SEED = 1_000_000
CALIBRATION_FIRST_SEED = 2_000_000

_STREAM = 0x5CE_E5  # keeps these random streams apart from other users of the same small seeds
_HUE_SPREAD = 0.06  # standard deviation of a shape's hue around the hue of its class; classes are 0.25 apart
_HAZE_METRES = 9.0  # distance at which haze has replaced 63 % of a colour


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One picture and what is true of every pixel in it."""

    image: NDArray[np.uint8]  # [height, width, 3]
    segmentation: NDArray[np.uint8]  # [height, width], index into CLASS_NAMES
    depth: NDArray[np.float32]  # [height, width], metres


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """One object: class, place of its foot, size in pixels, depth and colour."""

    label: int
    foot_x: float
    foot_y: float
    half_width: float
    height: float
    tilt: float  # radians
    depth: float  # metres
    colour: FloatArray  # [3], 0..1


def _ball(u: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    radius = u * u + v * v
    light = 1.15 - 0.75 * ((u + 0.35) ** 2 + (v + 0.35) ** 2)
    return 1.0 - radius, light


def _box(u: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    inside = 0.95 - np.maximum(np.abs(u), np.abs(v))
    return inside, np.where(v < -0.45, 1.2, np.where(u > 0.35, 0.6, 0.9)).astype(np.float32)


def _cone(u: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    inside = np.minimum(0.5 * (v + 1.0) - np.abs(u), 1.0 - v)
    return inside, 0.85 - 0.5 * u


def _cross(u: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    across, along = np.abs(u), np.abs(v)
    inside = np.where(np.minimum(across, along) < 0.4, 1.0 - np.maximum(across, along), -1.0).astype(np.float32)
    return inside, 0.8 + 0.35 * np.sign(np.sin(7.0 * (u + v)))


_OUTLINES: tuple[Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]], ...] = (_ball, _box, _cone, _cross)


def _hue_to_rgb(hue: float, saturation: float, value: float) -> FloatArray:
    """HSV to RGB, each 0..1."""
    wheel = np.abs((hue * 6.0 + np.array([0.0, 4.0, 2.0])) % 6.0 - 3.0) - 1.0
    return (value * (1.0 - saturation + saturation * np.clip(wheel, 0.0, 1.0))).astype(np.float32)


def _floor_depth(rows: FloatArray, horizon: float, height: int) -> FloatArray:
    """Depth in metres of background rows: inverse depth grows linearly from the horizon to the lower edge."""
    nearness = np.clip((rows - horizon) / (height - horizon), 0.0, 1.0)
    return (1.0 / (1.0 / FAR_METRES + nearness * (1.0 / NEAR_METRES - 1.0 / FAR_METRES))).astype(np.float32)


def _floor_row(depth: float, horizon: float, height: int) -> float:
    """Row at which the floor has this depth; the inverse of `_floor_depth`."""
    nearness = (1.0 / depth - 1.0 / FAR_METRES) / (1.0 / NEAR_METRES - 1.0 / FAR_METRES)
    return horizon + nearness * (height - horizon)


def _random_shape(rng: np.random.Generator, horizon: float, height: int, width: int) -> _Shape:
    label = int(rng.integers(1, len(CLASS_NAMES)))
    depth = float(rng.uniform(1.6, 6.5))
    size = height * float(rng.uniform(0.85, 1.15)) * 1.05 / (1.0 + 0.55 * depth)
    hue = 0.25 * (label - 1) + _HUE_SPREAD * float(rng.standard_normal())
    return _Shape(
        label=label,
        foot_x=float(rng.uniform(0.05, 0.95)) * width,
        foot_y=min(_floor_row(depth, horizon, height), 0.97 * height),
        half_width=0.5 * size * float(rng.uniform(0.8, 1.2)),
        height=size,
        tilt=float(rng.uniform(-0.3, 0.3)),
        depth=depth,
        colour=_hue_to_rgb(hue, float(rng.uniform(0.45, 0.9)), float(rng.uniform(0.6, 1.0))),
    )


def _background(rng: np.random.Generator, horizon: float, height: int, width: int) -> FloatArray:
    """Textured wall and floor, [height, width, 3], 0..1, without haze."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    wall, floor = (
        _hue_to_rgb(float(rng.random()), float(rng.uniform(0.05, 0.3)), float(rng.uniform(0.35, 0.7))) for _ in range(2)
    )
    angle, pitch, phase = rng.uniform(0.0, np.pi), rng.uniform(0.5, 1.3) * 64.0 / height, rng.uniform(0.0, 6.28)
    waves = 0.10 * np.sin(pitch * (np.cos(angle) * columns + np.sin(angle) * rows) + phase)
    tiles = 0.08 * np.sign(np.sin(columns * (12.0 / width) * rng.uniform(1.0, 3.0)) * np.sin(14.0 * rows / height))
    is_floor: NDArray[np.bool_] = rows > horizon
    texture = np.asarray(np.where(is_floor, 1.0 + tiles, 1.0 + waves), dtype=np.float32)
    return np.asarray(np.where(is_floor[..., None], floor, wall), dtype=np.float32) * texture[..., None]


def _paint(shape: _Shape, colours: FloatArray, labels: NDArray[np.uint8], depth: FloatArray) -> None:
    """Draw one shape over what is there; shapes come in order from far to near."""
    rows, columns = np.mgrid[0 : labels.shape[0], 0 : labels.shape[1]].astype(np.float32)
    x = (columns + 0.5 - shape.foot_x) / shape.half_width
    y = (rows + 0.5 - (shape.foot_y - 0.5 * shape.height)) / (0.5 * shape.height)
    cosine, sine = np.float32(np.cos(shape.tilt)), np.float32(np.sin(shape.tilt))
    inside, light = _OUTLINES[shape.label - 1](cosine * x + sine * y, cosine * y - sine * x)
    mask = inside > 0.0
    colours[mask] = shape.colour * light[mask][:, None]
    labels[mask] = shape.label
    depth[mask] = shape.depth


def draw_scene(seed: int, *, height: int = 64, width: int = 64) -> Scene:
    """The scene of a seed; shapes scale with the image height and grow in number with its width."""
    rng = np.random.default_rng((_STREAM, seed))
    horizon = float(rng.uniform(0.2, 0.4)) * height
    colours = _background(rng, horizon, height, width)
    labels = np.zeros((height, width), dtype=np.uint8)
    rows = np.arange(height, dtype=np.float32) + np.float32(0.5)
    depth = np.repeat(_floor_depth(rows, horizon, height)[:, None], width, axis=1)
    count = int(rng.integers(3, 7)) * max(round(width / height), 1)
    shapes = [_random_shape(rng, horizon, height, width) for _ in range(count)]
    for shape in sorted(shapes, key=lambda item: -item.depth):
        _paint(shape, colours, labels, depth)
    haze = np.exp(-depth / _HAZE_METRES)[..., None]
    gain = float(rng.uniform(0.85, 1.15))
    lit = gain * (haze * colours + (1.0 - haze) * np.float32(0.8))
    noisy = 255.0 * lit + float(rng.uniform(4.0, 10.0)) * rng.standard_normal(colours.shape, dtype=np.float32)
    image = np.clip(np.round(noisy), 0, 255).astype(np.uint8)
    return Scene(image=image, segmentation=labels, depth=depth)


def draw_scenes(seeds: Sequence[int], *, height: int = 64, width: int = 64) -> list[Scene]:
    """The scenes of several seeds, in order."""
    return [draw_scene(seed, height=height, width=width) for seed in seeds]
