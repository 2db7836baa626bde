"""How the work is cut and reported: threads, pieces, progress, interruption, what is kept, refusals."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, Population, Port
from ranvier.compiler.ir.network import Readout, ReadoutKind
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.runtimes import oracle
from ranvier.runtimes.simulator import run

RNG = np.random.default_rng(2)
INPUTS: NDArray[np.uint8] = (RNG.random((11, 20, 12)) < 0.4).astype(np.uint8)


def network(readout: ReadoutKind = "spike_count") -> ChipNetwork:
    """12 inputs, 15 neurons with a recurrent connection and currents that overflow now and then."""
    values = {"du": 0, "dv": 100, "vth": 30_000, "bias": 0}
    params = {key: np.array(value) for key, value in values.items()}
    zero = {"u": np.array(0), "v": np.array(0)}
    population = Population("n", (15,), chip_lif(Features()), params, zero, 1)
    weight = RNG.integers(-100, 255, (15, 12)).astype(np.int32)
    loop = RNG.integers(-255, 256, (15, 15)).astype(np.int32)
    connections = (
        Connection("in", "x", "n", DenseSynapse(weight), 4, "mixed", 0),
        Connection("rec", "n", "n", DenseSynapse(loop), 0, "mixed", 1),
    )
    return ChipNetwork("net", "loihi2", (Port("x", (12,)),), (population,), connections, Readout("n", readout))


CHIP = network()


@pytest.mark.parametrize(("threads", "batch"), [(1, None), (1, 4), (2, 1), (3, 5), (8, 100), (None, 2)])
def test_cutting_changes_nothing(threads: int | None, batch: int | None) -> None:
    expected = oracle.run(CHIP, INPUTS, ("spikes", "membrane", "states"))
    found = run(CHIP, INPUTS, ("spikes", "membrane", "states"), threads=threads, batch=batch)
    np.testing.assert_array_equal(found.spikes["n"], expected.spikes["n"])
    np.testing.assert_array_equal(found.membrane["n"], expected.membrane["n"])
    np.testing.assert_array_equal(found.states["n"]["u"], expected.states["n"]["u"])
    assert dict(found.stats) == dict(expected.stats)
    assert found.overflows
    assert set(found.overflows) == set(expected.overflows)


@pytest.mark.parametrize("kind", ["spike_count", "first_spike", "last_membrane", "max_membrane", "sum_membrane"])
def test_every_readout(kind: ReadoutKind) -> None:
    chip = network(kind)
    expected, found = oracle.run(chip, INPUTS), run(chip, INPUTS)
    np.testing.assert_array_equal(found.outputs, expected.outputs)
    np.testing.assert_array_equal(found.predictions, expected.predictions)
    assert found.outputs.dtype == expected.outputs.dtype
    assert not found.spikes
    assert not found.membrane
    assert not found.states


def test_inputs_of_any_type_and_layout() -> None:
    expected = run(CHIP, INPUTS).outputs
    backward = np.ascontiguousarray(INPUTS[:, :, ::-1])[:, :, ::-1]
    for inputs in (INPUTS.astype(bool), INPUTS.astype(np.float32), INPUTS.astype(np.int64), backward):
        np.testing.assert_array_equal(run(CHIP, inputs).outputs, expected)
    frozen = INPUTS.copy()
    frozen.setflags(write=False)
    np.testing.assert_array_equal(run(CHIP, frozen).outputs, expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_progress_counts_all_samples(threads: int) -> None:
    seen: list[tuple[int, int]] = []
    run(CHIP, INPUTS, threads=threads, batch=3, progress=lambda done, total: seen.append((done, total)))
    assert [total for _, total in seen] == [11] * 4
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (11, 11)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_interruption_between_pieces_ends_the_run(threads: int) -> None:
    calls = []

    def stop(done: int, _: int) -> None:
        calls.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(CHIP, INPUTS, threads=threads, batch=1, progress=stop)
    assert len(calls) == 1


@pytest.mark.parametrize(("threads", "batch"), [(0, None), (None, 0), (-1, 3)])
def test_counts_must_be_positive(threads: int | None, batch: int | None) -> None:
    with pytest.raises(RanvierError, match="RV831"):
        run(CHIP, INPUTS, threads=threads, batch=batch)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(RanvierError, match="RV821"):
        run(CHIP, INPUTS[:, :, :5])
