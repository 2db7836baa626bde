"""The verifier finds each planted fault, with its code and place, and nothing in sound networks."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import Connection, ConvSynapse, DenseSynapse, Population, Port, SparseSynapse
from ranvier.compiler.ir.linear import Conv, ConvTranspose, Dense, Grid, Pool, Reshape, Scale, Sparse
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import Lif, RegisterLif
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.compiler.ir.steps import Op
from ranvier.compiler.ir.verify import LEVELS, check_chip, check_network, off_grid
from support.networks import chip_networks
from support.verification import layered_chip

GRID = Grid(1.0, 0, "mixed")
X = Input("x", (1, 2, 2), "spikes")
W = Dense("w", np.eye(4) * 2, grid=GRID)
N = Neurons("n", (4,), Lif(), 1.0, 1)


def network(*nodes, edges=None, readout="n"):
    """The nodes in a row unless edges are given."""
    nodes = nodes or (X, W, N)
    row = tuple(Edge(a.name, b.name) for a, b in pairwise(nodes))
    return Network("net", nodes, row if edges is None else edges, Readout(readout))


def found(check, *args):
    """(code, place) of every finding."""
    with pytest.raises(RanvierError) as caught:
        check(*args)
    return [(d.code, d.place) for d in caught.value.diagnostics]


def with_layer(layer, neurons=None):
    out = neurons or Neurons("n", layer.out_shape, Lif())
    return network(Input("x", layer.in_shape if hasattr(layer, "in_shape") else (layer.in_size,), "spikes"), layer, out)


@pytest.mark.parametrize("level", list(LEVELS))
def test_a_sound_network_passes_every_level(level):
    sound = network()
    assert check_network(sound, level) is sound


def recurrent(delay: int):
    loop = Dense("loop", np.eye(4) * 2, grid=GRID)
    edges = (Edge("x", "w"), Edge("w", "n"), Edge("n", "loop", delay), Edge("loop", "n"))
    return network(X, W, N, loop, edges=edges)


def test_recurrence_needs_a_delay():
    check_network(recurrent(1), "quantized")
    assert [code for code, _ in found(check_network, recurrent(0), "imported")] == ["RV319"]


@pytest.mark.parametrize(
    ("faulty", "findings"),
    [
        (network(X, W, N, Neurons("n", (4,), Lif())), [("RV310", "n")]),
        (network(edges=(Edge("x", "w"), Edge("w", "m"))), [("RV311", "m")]),
        (network(edges=(Edge("y", "w"), Edge("w", "z"))), [("RV311", "y"), ("RV311", "z")]),
        (network(edges=(Edge("x", "w", -1), Edge("w", "n"))), [("RV312", "w")]),
        (network(edges=(Edge("x", "w"), Edge("w", "n"), Edge("n", "x", 1))), [("RV312", "x")]),
        (network(W, N), [("RV313", "net")]),
        (network(X, W, N, Input("y", (4,), "spikes"), edges=(Edge("x", "w"), Edge("w", "n"))), [("RV313", "net")]),
        (network(readout="w"), [("RV314", "w")]),
        (network(readout="nothing"), [("RV314", "nothing")]),
        (network(X, W, Neurons("n", (5,), Lif())), [("RV316", "n")]),
        (network(Input("x", (3,), "spikes"), W, N), [("RV316", "w")]),
        (network(edges=(Edge("w", "n"),)), [("RV317", "w")]),
    ],
)
def test_structure(faulty, findings):
    assert found(check_network, faulty, "imported") == findings


@pytest.mark.parametrize(
    "faulty",
    [
        Dense("w", [[1.0, np.nan]]),
        Dense("w", [[1.0, np.inf]]),
        Dense("w", [[1.0]], [np.nan]),
        Dense("w", [[1.0]], [1.0, 2.0]),
        Dense("w", np.zeros((0, 3))),
        Sparse("w", [1.0, 2.0], [0, 2], [0, 1, 2], 2, (2,)),
        Sparse("w", [1.0, 2.0], [0, -1], [0, 1, 2], 2, (2,)),
        Sparse("w", [1.0, 2.0], [0, 1], [0, 2, 1, 2], 2, (3,)),
        Sparse("w", [1.0, 2.0], [0, 1], [0, 1], 2, (1,)),
        Sparse("w", [1.0, 2.0], [0, 1], [0, 1, 2], 2, (3,)),
        Sparse("w", [1.0], [0, 1], [0, 1, 2], 2, (2,)),
        Sparse("w", [np.nan, 2.0], [0, 1], [0, 1, 2], 2, (2,)),
        Conv("w", np.zeros((2, 1, 2, 2)), (3, 4, 4)),
        Conv("w", np.zeros((3, 1, 2, 2)), (2, 4, 4), groups=2),
        Conv("w", np.zeros((2, 1, 2, 2)), (1, 4, 4), [1.0]),
        Conv("w", np.zeros((2, 1, 5, 2)), (1, 4, 4)),
        Conv("w", np.full((2, 1, 2, 2), np.nan), (1, 4, 4)),
        Pool("w", "sum", (1, 4, 4), (5, 5), (1, 1), ((0, 0), (0, 0))),
        Scale("w", (2, 2), [1.0, 2.0, 3.0], 0.0),
        Scale("w", (2, 2), np.inf, 0.0),
        Reshape("w", (4,), (2, 3)),
    ],
)
def test_malformed_layers(faulty):
    findings = found(check_network, with_layer(faulty), "imported")
    assert findings[0] == ("RV315", "w")
    assert {code for code, _ in findings} == {"RV315"}


@pytest.mark.parametrize(
    "faulty",
    [
        Conv("w", np.zeros((2, 1, 2, 2)), (1, 4, 4), stride=(0, 1)),
        Conv("w", np.zeros((2, 1, 2)), (1, 4)),
        Conv("w", np.zeros((2, 1, 2, 2)), (1, 4, 4), dilation=(1, 0)),
        Conv("w", np.zeros((2, 1, 2, 2)), (1, 4, 4), padding=((0, 0),)),
        ConvTranspose("w", np.zeros((2, 1, 2, 2)), (1, 4, 4)),
        ConvTranspose("w", np.zeros((2, 1, 2, 2)), (2, 4, 4), groups=3),
        ConvTranspose("w", np.zeros((1, 1, 2, 2)), (1, 4, 4), [1.0, 2.0]),
        ConvTranspose("w", np.zeros((1, 1, 2, 2)), (1, 4, 4), stride=(0, 1)),
        ConvTranspose("w", np.zeros((1, 1, 2, 2)), (1, 4, 4), padding=(-1, 0)),
        ConvTranspose("w", np.zeros((1, 1, 2, 2)), (1, 4, 4), output_padding=(1, 0)),
        ConvTranspose("w", np.zeros((1, 1, 2, 2)), (1, 4, 4), padding=(3, 0)),
        ConvTranspose("w", np.zeros((1, 1, 2)), (1, 4)),
        ConvTranspose("w", np.full((1, 1, 2, 2), np.nan), (1, 4, 4)),
        Dense("w", [1.0, 2.0]),
    ],
)
def test_malformed_layers_that_have_no_output_shape(faulty):
    assert ("RV315", "w") in found(check_network, network(X, faulty, N), "imported")


@pytest.mark.parametrize(
    "model",
    [
        Lif(keep_membrane=[1.0, 2.0, 3.0]),
        Lif(keep_membrane=[[1.0, 2.0, 3.0, 4.0]]),
        Lif(drive=np.nan),
        Lif(drive=np.inf),
        Lif(threshold=np.nan),
        Lif(threshold=-np.inf),
        Lif(refractory=-1),
        Lif(max_spikes=-1),
        Lif(floor=float("nan")),
        RegisterLif([1, 2, 3], 0, 0),
    ],
)
def test_malformed_neurons(model):
    assert ("RV315", "n") in found(check_network, network(X, W, Neurons("n", (4,), model)), "imported")


def test_an_integrator_has_an_infinite_threshold():
    check_network(network(X, W, Neurons("n", (4,), Lif(threshold=[1, np.inf, 1, 2]))), "imported")


@pytest.mark.parametrize("shape", [(), (0, 4), (-2, -2), (2**20, 2**20)])
def test_impossible_shapes(shape):
    assert ("RV315", "x") in found(check_network, network(Input("x", shape, "spikes"), W, N), "imported")


def test_all_findings_of_a_check_come_at_once():
    faulty = network(X, Dense("w", [[np.nan]]), Neurons("n", (4,), Lif(drive=np.nan)))
    assert found(check_network, faulty, "imported") == [("RV315", "w"), ("RV315", "n")]


POOL = Pool("w", "sum", (1, 2, 2), (1, 1), (1, 1), ((0, 0), (0, 0)))
LINE = Conv("w", np.zeros((1, 1, 1)), (1, 4), stride=(1,), padding=((0, 0),), dilation=(1,), grid=GRID)


@pytest.mark.parametrize(
    ("level", "faulty", "findings"),
    [
        ("folded", network(X, POOL, N), [("RV320", "w")]),
        ("folded", network(X, Scale("w", (4,), 1.0, 0.0), N), [("RV320", "w")]),
        ("folded", network(X, Reshape("w", (4,), (4,)), N), [("RV320", "w")]),
        ("folded", network(X, W, replace(W, name="w2"), N), [("RV321", "w"), ("RV321", "w2")]),
        ("folded", network(edges=(Edge("x", "w"), Edge("n", "w", 1), Edge("w", "n"))), [("RV321", "w")]),
        ("folded", network(X, replace(W, bias=np.ones(4)), N), [("RV322", "w")]),
        ("folded", network(X, LINE, N), [("RV323", "w")]),
        ("retimed", network(X, W, replace(N, latency=-1)), [("RV324", "n")]),
        ("quantized", network(X, W, replace(N, scale=0.0)), [("RV325", "n")]),
        ("quantized", network(X, replace(W, grid=None), N), [("RV326", "w")]),
        ("quantized", network(X, replace(W, weight=np.eye(4)), N), [("RV327", "w")]),
        ("quantized", network(X, replace(W, grid=Grid(1.0, 0, "inhibitory")), N), [("RV327", "w")]),
    ],
)
def test_each_level_has_its_own_law(level, faulty, findings):
    order = list(LEVELS)
    for earlier in order[: order.index(level)]:
        check_network(faulty, earlier)
    for later in order[order.index(level) :]:
        assert set(findings) <= set(found(check_network, faulty, later))


@pytest.mark.parametrize(
    ("sign", "bits", "good", "bad"),
    [
        ("mixed", 8, [-256, -2, 0, 254], [-258, 256, 1, -255, 0.5]),
        ("excitatory", 8, [0, 1, 255], [-1, 256, 0.5]),
        ("inhibitory", 8, [-255, -1, 0], [1, -256, -0.5]),
        ("mixed", 4, [-256, -32, 0, 224], [-258, 16, 240]),
        ("excitatory", 4, [0, 16, 240], [8, 255]),
        ("mixed", 2, [-256, -128, 0, 128], [64, 256]),
        ("mixed", 1, [-128, 0, 128], [64, -256]),
        ("excitatory", 9, [], [0]),
    ],
)
def test_the_grid_of_each_width_and_sign_mode(sign, bits, good, bad):
    grid = Grid(1.0, 0, sign, bits)
    assert not off_grid(np.array(good or [0]), grid) or bits == 9
    assert all(off_grid(np.array([value]), grid) for value in bad)


@given(chip_networks())
def test_random_legal_chip_networks_are_sound(chip):
    assert check_chip(chip) is chip


def joined(**fields):
    """The layered chip whose connection ``to middle`` is changed."""
    chip = layered_chip()
    connections = [replace(c, **fields) if c.name == "to middle" else c for c in chip.connections]
    return replace(chip, connections=tuple(connections))


EYE = np.eye(4, dtype=np.int32) * 2
FLAT = {"in_shape": (1, 2, 2), "out_shape": (1, 2, 2), "stride": (1, 1), "dilation": (1, 1), "groups": 1}
NO_PADDING = ((0, 0), (0, 0))
BOX = ConvSynapse(np.ones((1, 1, 1, 1), np.int32) * 2, padding=NO_PADDING, **FLAT)


def test_the_sound_chip_passes():
    check_chip(layered_chip())
    check_chip(joined(synapse=BOX))
    check_chip(joined(synapse=SparseSynapse(np.array([2, 4]), np.array([0, 3]), np.array([0, 1, 1, 1, 2]), 4)))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"source": "nothing"}, "RV332"),
        ({"target": "input"}, "RV332"),
        ({"name": "to first"}, "RV330"),
        ({"synapse": DenseSynapse(EYE[:3])}, "RV334"),
        ({"synapse": DenseSynapse(EYE[:, :3])}, "RV334"),
        ({"synapse": DenseSynapse(EYE // 2)}, "RV335"),
        ({"synapse": DenseSynapse(EYE * 128)}, "RV335"),
        ({"sign": "inhibitory"}, "RV335"),
        ({"synapse": DenseSynapse(np.arange(4))}, "RV336"),
        ({"synapse": SparseSynapse(np.array([2]), np.array([4]), np.array([0, 1, 1, 1, 1]), 4)}, "RV336"),
        ({"synapse": SparseSynapse(np.array([2]), np.array([0]), np.array([0, 0, 0, 0, 0]), 4)}, "RV336"),
        ({"synapse": SparseSynapse(np.array([2]), np.array([0]), np.array([0, 2, 1, 1, 1]), 4)}, "RV336"),
        ({"synapse": replace(BOX, weight=np.ones((1, 1, 1), np.int32))}, "RV336"),
        ({"synapse": replace(BOX, out_shape=(1, 2, 1))}, "RV336"),
        ({"synapse": replace(BOX, groups=0)}, "RV336"),
        ({"synapse": replace(BOX, stride=(0, 1))}, "RV336"),
        ({"synapse": BOX, "exponent": 1}, "RV337"),
        ({"delay": -1}, "RV338"),
        ({"exponent": 25}, "RV338"),
        ({"source": "input"}, "RV338"),  # when the middle layer runs, this frame has passed
    ],
)
def test_faulty_connections(fields, code):
    assert code in {c for c, _ in found(check_chip, joined(**fields))}


def test_a_recurrent_connection_takes_its_step():
    check_chip(joined(source="last"))


def population(**fields):
    chip = layered_chip()
    parts = [replace(p, **fields) if p.name == "middle" else p for p in chip.populations]
    return replace(chip, populations=tuple(parts))


STOCK = chip_lif(Features())
REGISTERS = layered_chip().populations[1].params


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"params": {**REGISTERS, "extra": np.array(1)}}, "RV341"),
        ({"params": {k: v for k, v in REGISTERS.items() if k != "vth"}}, "RV341"),
        ({"params": {**REGISTERS, "vth": np.array([1, 2])}}, "RV341"),
        ({"params": {**REGISTERS, "vth": np.array([[1, 2, 3, 4]])}}, "RV341"),
        ({"initial": {"u": np.array(0)}}, "RV341"),
        ({"latency": 0}, "RV341"),
        ({"bits": 8}, "RV341"),
        ({"shape": (0,)}, "RV341"),
        ({"program": replace(STOCK, domain="float")}, "RV340"),
        ({"program": replace(STOCK, ops=(*STOCK.ops, Op("t\nimport os", "add", ("u", "v"))))}, "RV340"),
        ({"name": "first"}, "RV330"),
    ],
)
def test_faulty_populations(fields, code):
    assert code in {c for c, _ in found(check_chip, population(**fields))}


@pytest.mark.parametrize(
    "port", [Port("input", ()), Port("input", (4,), 1), Port("input", (4,), 33), Port("input", (4,), 8, 0.0)]
)
def test_faulty_ports(port):
    assert ("RV342", "input") in found(check_chip, replace(layered_chip(), ports=(port,)))


def test_a_chip_has_one_port_and_its_readout():
    chip = layered_chip()
    two = replace(chip, ports=(*chip.ports, Port("more", (1,))))
    assert found(check_chip, two) == [("RV331", "row")]
    assert found(check_chip, replace(chip, readout=Readout("input"))) == [("RV333", "input")]


def test_a_population_without_a_connection_may_stand_alone():
    chip = layered_chip()
    lonely = Population("lonely", (1,), STOCK, REGISTERS, {"u": np.array(0), "v": np.array(0)}, 1)
    check_chip(replace(chip, populations=(*chip.populations, lonely)))


def test_two_connections_need_two_names():
    """Executors keep matrices by the connection's name: the second would silently run with the first's."""
    chip = layered_chip()
    again = Connection("to middle", "first", "middle", DenseSynapse(EYE), 0, "mixed", 0)
    assert found(check_chip, replace(chip, connections=(*chip.connections, again))) == [("RV330", "to middle")]
