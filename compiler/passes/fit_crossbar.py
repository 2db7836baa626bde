"""A network against the limits of a crossbar chip, whose neurons' arithmetic nobody has established here."""

from typing import NoReturn

import numpy as np

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.matrix import linear_matrix
from ranvier.compiler.ir.network import Network
from ranvier.compiler.passes.fit_bytes import Findings, synapses
from ranvier.targets.schema import CrossbarTarget


def check_crossbar(network: Network, target: CrossbarTarget) -> NoReturn:
    """Always ``RanvierError``: RV650 for each neuron limit that the network breaks, and for the missing arithmetic."""
    findings, name, bar = Findings(), target.name, target.crossbar
    caps = {rule.use: rule.cap.v for rule in target.core.resources}
    for population in network.populations:
        fan_in = np.zeros(int(np.prod(population.shape)), dtype=np.int64)
        distinct = 0
        for synapse, _ in synapses(network, population):
            matrix = linear_matrix(synapse)
            fan_in += np.diff(matrix.indptr)
            distinct = max(distinct, len(np.unique(matrix.data[matrix.data != 0])))
        most = int(fan_in.max(initial=0))
        if most > caps.get("n_in_lists", most):
            text = f"a neuron has {most} inputs; a core of {name} has {caps['n_in_lists']} axons"
            findings.refuse("RV650", population.name, text, "make the layer before it smaller or sparser", used=most)
        if distinct > bar.axon_types.v:
            text = f"{distinct} different weights; a neuron of {name} has {bar.axon_types.v}, one per type of axon"
            findings.refuse("RV650", population.name, text, "train with fewer levels of weights", used=distinct)
    if target.neurons.lif.semantics.known() is None:
        text = f"no bit-exact arithmetic of the neurons of {name} is established"
        findings.refuse("RV650", name, text, "compile for another target; this one only checks limits")
    raise RanvierError(findings.problems)
