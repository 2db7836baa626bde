"""The GPU executor by its name in the public functions, in verification and on the command line."""

import numpy as np

from ranvier import api
from ranvier.cli.options import RuntimeName
from ranvier.runtimes.verify.executors import RUNTIMES
from support.apps import small_data, small_network
from support.recordings import assert_equal


def test_it_runs_and_verifies_programs() -> None:
    x, y = small_data(4, 5)
    app = api.compile(small_network(), calibrate=x)
    assert_equal(app.run(x, ("states",), "gpu"), app.run(x, ("states",), "oracle"))
    verification = api.verify(app, small_network(), (x, np.asarray(y)), ("oracle", "gpu"))
    assert [(c.runtime, c.disagreements) for c in verification.comparisons][-1] == ("gpu", 0)


def test_the_command_line_offers_it() -> None:
    assert {name.value for name in RuntimeName} == set(RUNTIMES)
    assert "gpu" in RUNTIMES
