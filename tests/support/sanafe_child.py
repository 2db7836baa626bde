# mypy: ignore-errors
# Not typed: it runs as a child under SANA-FE's Python.
"""Loads exported files into SANA-FE and runs them: ``folder steps`` in, ``answer.json`` out.

For each of the timing models: energy by part in joules, simulated seconds, and the spikes as (step, group, neuron).
"""

import json
import sys
from pathlib import Path

import sanafe

folder, steps = Path(sys.argv[1]), int(sys.argv[2])
answer = {}
for model in ("simple", "detailed"):
    arch = sanafe.load_arch(str(folder / "architecture.yaml"))
    chip = sanafe.SpikingChip(arch)
    chip.load(sanafe.load_net(str(folder / "network.yaml"), arch))
    made = chip.sim(steps, timing_model=model, spike_trace=True)
    spikes = [
        [step, address.group_name, address.neuron_offset]
        for step, sent in enumerate(made["spike_trace"])
        for address in sent
    ]
    numbers = {key: made[key] for key in ("packets_sent", "neurons_updated", "neurons_fired", "sim_time", "spikes")}
    answer[model] = {"energy": dict(made["energy"]), "trace": spikes, **numbers}
(folder / "answer.json").write_text(json.dumps(answer))
