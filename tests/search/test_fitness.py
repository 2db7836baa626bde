"""The score is the published equation, and says what it is meant to say."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ranvier.search import SPACES, Architecture, Skeleton
from ranvier.search.fitness import fitness, hamming_kernel
from ranvier.search.modules import THRESHOLD, Lif

SKELETON = Skeleton((1, 8, 8), 3, (2, 4), 5, steps=3)
CELL = SPACES["spikenas"].decode(12_807)
NET = Architecture(SPACES["spikenas"], SKELETON, (CELL, CELL))


def by_hand(x: np.ndarray) -> np.ndarray:
    """The equation, image by image."""
    images, count = x.shape
    kernel = np.empty((images, images))
    for i in range(images):
        for j in range(images):
            a, b = x[i].mean(), x[j].mean()
            norm = (a * (1 - b) + (1 - a) * b) * count
            apart = x[i] @ (1 - x[j]) + (1 - x[i]) @ x[j]
            kernel[i, j] = count - 0.5 / (norm + 1e-3) * apart
    return kernel


@given(st.integers(2, 6), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_the_kernel_is_the_equation(images: int, count: int, seed: int) -> None:
    x = np.random.default_rng(seed).integers(0, 2, (images, count)).astype(np.float32)
    assert np.allclose(hamming_kernel(torch.from_numpy(x)).numpy(), by_hand(x.astype(np.float64)), rtol=1e-9)


@given(st.lists(st.floats(-2, 4), min_size=1, max_size=12))
def test_the_neuron_is_the_reference(currents: list[float]) -> None:
    lif, v, tau = Lif(THRESHOLD).eval(), 0.0, 4 / 3
    for current in currents:
        v = v + (current - v) / tau
        sent = lif(torch.tensor([[current]], dtype=torch.float64))
        if abs(v - THRESHOLD) < 1e-9:
            return
        assert bool(sent) == (v >= THRESHOLD)
        v = 0.0 if v >= THRESHOLD else v


def test_images_that_look_the_same_score_worse() -> None:
    images = np.random.default_rng(0).random((24, 1, 8, 8), dtype=np.float32)
    alike = np.repeat(images[:2], 12, axis=0)
    assert fitness(NET, images) > fitness(NET, alike)
    assert math.isinf(fitness(NET, np.zeros((4, 1, 8, 8), dtype=np.float32)))


def test_a_score_depends_on_seed_alone_and_leaves_no_trace() -> None:
    images = np.random.default_rng(0).random((16, 1, 8, 8), dtype=np.float32)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = fitness(NET, images, 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert first == fitness(NET, images, 1)
    assert first != fitness(NET, images, 2)
