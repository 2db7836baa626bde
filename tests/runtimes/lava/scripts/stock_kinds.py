"""Run Lava's own resonators and sigma-delta processes on given input; what each sends goes into a result file.

Arguments: the input file (arrays ``spikes`` and ``changes``, one value a step), the result file.
"""

import sys
from pathlib import Path

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.rf.process import RF
from lava.proc.rf_iz.process import RF_IZ
from lava.proc.sdn.process import ActivationMode, Delta, SigmaDelta


def sent(process, *inputs):
    """What ``process`` sends when each pair (port, values) of ``inputs`` feeds it."""
    steps = inputs[0][1].size
    sink = Sink(shape=(1,), buffer=steps)
    for port, values in inputs:
        Source(data=values[None].astype(np.int32)).s_out.connect(port)
    process.s_out.connect(sink.a_in)
    process.run(condition=RunSteps(steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    result = sink.data.get()[0].astype(np.int64)
    process.stop()
    return result


def main(given, result):
    """All processes, one after the other."""
    data = np.load(given)
    found = {}
    for name, kind in (("phase", RF), ("izhikevich", RF_IZ)):
        neuron = kind(shape=(1,), period=11, alpha=0.05, state_exp=6, decay_bits=12, vth=9)
        found[name] = sent(
            neuron, (neuron.a_real_in, data["spikes"]), (neuron.a_imag_in, np.zeros_like(data["spikes"]))
        )
    delta = Delta(shape=(1,), vth=3, spike_exp=6, state_exp=0)
    found["delta"] = sent(delta, (delta.a_in, data["changes"]))
    for mode in (ActivationMode.UNIT, ActivationMode.RELU):
        neuron = SigmaDelta(shape=(1,), vth=3, bias=3, spike_exp=6, state_exp=0, act_mode=mode)
        found[f"sigma_{mode.name.lower()}"] = sent(neuron, (neuron.a_in, 64 * data["changes"]))
    np.savez(result + ".new.npz", **found)
    Path(result + ".new.npz").rename(result)


if __name__ == "__main__":
    main(*sys.argv[1:])
