"""Networks whose core counts were published, on Loihi 1: never more cores than that; and what cannot fit, quickly."""

import time

import pytest

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.passes.partition import Partition
from ranvier.targets.load import load_target

LOIHI1 = load_target("loihi1")
# Neurons of a core when every one takes two compartments.
SOFT = 512


@pytest.mark.parametrize(
    ("name", "most_neurons", "cores"),
    [
        ("mnist", None, 14),
        ("mnist", SOFT, 14),
        ("cifar", SOFT, 861),
        ("imagenet", None, 16 * 128),
    ],
)
def test_no_more_cores_than_nxtf_reports(name: str, most_neurons: int | None, cores: int) -> None:
    from benchmarks.placement_networks import mnist_cnn, mobilenet  # noqa: PLC0415 - outside tests

    make = {
        "mnist": lambda: mnist_cnn((14, 20, 12, 10)),
        "cifar": lambda: mobilenet(32, 1.0, 10, 1),
        "imagenet": lambda: mobilenet(128),
    }
    done = Partition(LOIHI1, max_neurons=most_neurons)(make[name]())
    assert len({piece.core for piece in done.pieces}) <= cores


def test_a_network_that_cannot_fit_is_refused_before_it_is_cut() -> None:
    from benchmarks.placement_networks import mobilenet  # noqa: PLC0415 - outside tests

    chip, begin = mobilenet(128), time.process_time()
    with pytest.raises(RanvierError, match="RV522 layer3: the network needs at least 1610 cores of 512"):
        Partition(LOIHI1, chips=4)(chip)
    assert time.process_time() - begin < 2
