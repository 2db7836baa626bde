"""What a capacity rule of a target file may count.

A counter is a figure that the mapper has for one core (or for everything placed on it). A rule is a figure
that no integer expression over counters can give, named by ``rule:<id>``. Both are the contract between the
target files and ``ranvier.compiler.analysis.resources``.
"""

from typing import Final

COUNTERS: Final[dict[str, str]] = {
    "n_neurons": "neurons on the core",
    "n_compartments": "compartments on the core: neurons times the compartments that each takes",
    "n_state_bytes": "bytes of neuron state on the core",
    "n_in_lists": "input axons: synapse lists that a spike from anywhere can select on the core",
    "n_out_slots": "output axon slots: one or two per source neuron and destination core",
    "n_compartment_profiles": "distinct settings of decays and refractory period on the core",
    "n_vth_profiles": "distinct thresholds on the core",
    "n_synapse_formats": "distinct synapse encodings on the core",
    "max_delay": "longest extra synaptic delay on the core, in steps",
}

SINGLE_COUNTERS: Final[dict[str, str]] = {
    "n_inputs": "wires of the input",
    "n_hidden": "neurons of all populations but the one that is read",
    "n_outputs": "neurons of the population that is read",
}

LAYER_COUNTERS: Final[dict[str, str]] = {
    "c_in": "input channels of the layer",
    "c_out": "output channels of the layer",
    "kx": "width of its kernel",
    "ky": "height of its kernel",
    "out_x": "width of its output, before pooling",
    "out_y": "height of its output, before pooling",
    "n_bias": "output channels that have a bias other than 0",
}

CROSSBAR_COUNTERS: Final[dict[str, str]] = {
    "n_neurons": "neurons on the core",
    "n_in_lists": "input axons: sources with a synapse on the core",
}

RULES: Final[dict[str, str]] = {
    "loihi.synapse_bits": "bits of synaptic memory by the block formula of nengo-loihi's `bits_per_axon`",
}
