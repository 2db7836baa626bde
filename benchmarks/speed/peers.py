"""Who is measured: the program that runs each peer, what it computes, and how its answers are judged."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from benchmarks.speed.environments import RECIPES, interpreter

CHILDREN = Path(__file__).with_name("children")
Judged = Literal["states", "spikes", "close"]
"""``states``: spikes and states bit for bit as the oracle; ``spikes``: spikes bit for bit; ``close``: the share of
neuron-steps in which a float peer fires as our float reference does."""


@dataclass(frozen=True)
class Peer:
    """One way to run a network.

    ``script`` under ``environment`` (None: ours) with ``arguments``; ``variant`` and ``device`` go into its job.
    ``only``: the workloads it can run at all, by the beginning of their names; None: it decides itself.
    ``emulator``: it runs one sample at a time. ``most_neurons``: larger networks would take it minutes a step.
    """

    name: str
    script: str
    judged: Judged
    environment: str | None = None
    arguments: tuple[str, ...] = ()
    threads: int = 1
    variant: str = ""
    device: str = "cpu"
    only: tuple[str, ...] | None = None
    emulator: bool = False
    most_neurons: int | None = None

    def python(self) -> Path:
        """The interpreter that runs it; raises ``UnavailableError``."""
        return Path(sys.executable) if self.environment is None else interpreter(RECIPES[self.environment])


OURS = "Ranvier"
PEERS: Mapping[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer(OURS, "ranvier_cpu.py", "states"),
        Peer("Ranvier, 2 threads", "ranvier_cpu.py", "states", threads=2),
        Peer("Ranvier, float", "ranvier_cpu.py", "close", variant="float"),
        Peer("Ranvier, GPU", "ranvier_gpu.py", "states", device="cuda"),
        Peer("Lava fixed_pt", "lava.py", "states", emulator=True, most_neurons=100_000),
        Peer("nengo-loihi", "nengo_loihi_peer.py", "states", "nengo-loihi", only=("mlp", "braille"), emulator=True),
        Peer("brian2-loihi", "brian2_loihi_peer.py", "states", "brian2-loihi", only=("mlp", "braille"), emulator=True),
        Peer("snnTorch", "torch_peer.py", "close", arguments=("snntorch",)),
        Peer("SpikingJelly", "torch_peer.py", "close", arguments=("spikingjelly",)),
        Peer("Norse", "torch_peer.py", "close", arguments=("norse",)),
        Peer("Sinabs", "torch_peer.py", "close", arguments=("sinabs",)),
        Peer("XyloSim", "xylosim_peer.py", "states", "xylosim", only=("xylo",)),
        Peer("SANA-FE", "sanafe_peer.py", "spikes", "sanafe", only=("mlp 10%",), emulator=True),
        Peer("SpikingJelly, GPU", "torch_peer.py", "close", arguments=("spikingjelly",), device="cuda"),
    )
}
FLOAT_PEERS = ("snnTorch", "SpikingJelly", "Norse", "Sinabs")


@cache
def gpu() -> str:
    """The NVIDIA GPU of this machine that torch can use, by name; empty without one."""
    if shutil.which("nvidia-smi") is None:
        return ""
    code = "import torch; print(torch.cuda.get_device_name(0) if torch.cuda.is_available() else '')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    return done.stdout.strip()


def absence(peer: Peer, workload: str, neurons: int, has_floats: bool) -> str:
    """Why ``peer`` is not asked to run ``workload``; empty where it is."""
    if peer.device == "cuda" and not gpu():
        return "not measured: no NVIDIA GPU on this machine"
    if peer.judged == "close" and not has_floats:
        return "the network exists in integers only"
    if peer.only is not None and not workload.startswith(peer.only):
        return "the network does not fit this peer"
    if peer.most_neurons is not None and neurons > peer.most_neurons:
        return f"not asked: it would take too long with {neurons:,} neurons"
    return ""
