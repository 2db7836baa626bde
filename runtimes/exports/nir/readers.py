"""Who reads a NIR file, and what that program makes of NIR's nodes.

NIR states differential equations; every importer makes its own steps of them. Sources: the NIR 1.0.8
documentation, and the importers of snnTorch 1.0, Norse 1.1, SpikingJelly 2.0 and Sinabs 3.1, run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from ranvier.compiler.ir.neurons import UNLIMITED, Compare, Reset

ReaderName = Literal["spec", "snntorch", "norse", "spikingjelly", "sinabs"]
Method = Literal["euler", "exp"]


@dataclass(frozen=True)
class Reader:
    """How one program reads NIR.

    ``dt``: seconds per step that it assumes unless it is told (``fixed_dt``: it cannot be told). ``types``: the nodes
    that it reads. ``gain``: ``r`` as NIR defines it; ``one``: an input of 1 has to raise the membrane by 1;
    ``norse``: ``r`` of a LIF is not read. ``leak``: any leak target, ``zero`` only, or the ``reset`` value.
    ``initial``: where membranes start. ``uniform``: one value of each named parameter for a whole layer. ``single``:
    its tensors are float32. ``grouped``: it reads grouped convolutions. ``floors_if``: its IF neurons do not fall
    below minus their threshold. ``flat_leak``: its LIF layers have one axis. ``loops``: it reads recurrence.
    """

    dt: float
    types: frozenset[str]
    method: Method = "euler"
    compare: Compare = ">"
    max_spikes: int = 1
    reset: Reset = "value"
    reads_reset_value: bool = False
    initial: Literal["zero", "leak", "reset"] = "zero"
    gain: Literal["r", "one", "norse"] = "one"
    leak: Literal["any", "zero", "reset"] = "zero"
    uniform: frozenset[str] = frozenset()
    single: bool = True
    grouped: bool = False
    fixed_dt: bool = False
    floors_if: bool = False
    flat_leak: bool = False
    loops: bool = True


_EVERYWHERE = frozenset({"Affine", "Conv2d", "Flatten", "LIF"})
_WITH_CURRENTS = _EVERYWHERE | {"Linear", "CubaLIF"}
_ALL = frozenset(("v_threshold", "v_reset", "v_leak", "tau", "tau_mem", "tau_syn"))

READERS: Mapping[str, Reader] = {
    "spec": Reader(
        1e-4,
        _WITH_CURRENTS | {"Conv1d", "Scale", "SumPool2d", "AvgPool2d", "Delay", "IF", "LI", "I", "CubaLI"},
        reads_reset_value=True,
        gain="r",
        leak="any",
        single=False,
        grouped=True,
    ),
    "snntorch": Reader(
        1e-4,
        _WITH_CURRENTS | {"AvgPool2d"},
        uniform=frozenset({"v_threshold"}),
        fixed_dt=True,
        loops=False,
    ),
    "norse": Reader(1e-3, _WITH_CURRENTS | {"IF"}, initial="leak", gain="norse", leak="any"),
    "spikingjelly": Reader(
        1e-4,
        _WITH_CURRENTS | {"Conv1d", "AvgPool2d", "IF"},
        compare=">=",
        reads_reset_value=True,
        initial="reset",
        leak="reset",
        uniform=_ALL,
    ),
    "sinabs": Reader(
        1.0,
        _EVERYWHERE | {"SumPool2d", "IF", "LI"},
        method="exp",
        compare=">=",
        max_spikes=UNLIMITED,
        reset="subtract",
        fixed_dt=True,
        floors_if=True,
        flat_leak=True,
    ),
}

assert tuple(READERS) == get_args(ReaderName)
