"""NIR files (``.nir``): networks as graphs of differential equations, made discrete."""

from pathlib import Path

from ranvier.compiler.ir.network import Coding, Network, ReadoutKind
from ranvier.compiler.ir.neurons import Compare
from ranvier.frontends.hdf5 import read_hdf5
from ranvier.frontends.nir.build import read
from ranvier.frontends.nir.reading import PRESETS, Method, Options, PresetName, ResetRule
from ranvier.frontends.nir.restore import Restored, restored_program

__all__ = ["PRESETS", "Restored", "load_nir", "load_nir_program"]


def load_nir(  # noqa: PLR0913 - one keyword per choice that the format leaves open
    path: str | Path,
    *,
    dt: float | None = None,
    method: Method | None = None,
    reset: ResetRule | None = None,
    compare: Compare | None = None,
    max_spikes: int | None = None,
    floor: float | None = None,
    preset: PresetName | None = None,
    coding: Coding = "spikes",
    readout: ReadoutKind | None = None,
) -> Network:
    """Read the NIR file at ``path`` as a float network.

    A NIR file holds continuous equations. ``dt`` (seconds per step) and ``reset`` (``value``, ``subtract``,
    or snnTorch's ``delayed_value`` and ``delayed_subtract``) are never guessed: they come from here, from
    the nodes' metadata, or from the ``preset`` of the exporting program. ``method`` (``euler``, ``exp``),
    ``compare``, ``max_spikes`` per step (0: no limit) and ``floor`` (lowest membrane) default to the
    preset, else to the NIR specification. Everything not stated here is a note of the network.
    A file that Ranvier wrote is, with no options, the network that was written.
    ``coding`` says what enters (0/1 ``spikes`` or a ``current``), ``readout`` how the answer is read.

    Raises ``RanvierError`` with everything that is missing or cannot be read.
    """
    options = Options(dt, method, reset, compare, max_spikes, floor, preset, coding, readout)
    return read(path, options)


def load_nir_program(path: str | Path) -> Restored:
    """The compiled program in the NIR file at ``path``, which ``export_nir_program`` wrote; not verified yet.

    Raises ``RanvierError``: RV100 (the file), RV467, RV698, RV699.
    """
    return restored_program(read_hdf5(path, "RV100", "NIR file"), str(path))
