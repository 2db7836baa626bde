"""The ``time``, ``spike`` and ``[chip]`` parts of a target file: the whole chip, its mesh, its systems."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ranvier.targets.quantity import Count, Known, Name, Positive, Quantity, Strict, Text


class Time(Strict):
    """How the chip steps; a spike reaches the next neuron's current ``spike_latency_steps`` later."""

    mode: Literal["stepped", "event"]
    sync: Literal["barrier"] | None = None
    common_dt: bool | None = None
    max_step_rate: Literal["async"] | None = None
    schedules: tuple[Name, ...] = ()
    spike_latency_steps: Known[Count] | None = None


class SpikeBits(Strict):
    """Bits of a spike's payload (0: binary spikes only) and of its whole message."""

    payload_max: Count
    message: Count | None = None
    typical: tuple[Positive, ...] = ()


class Spike(Strict):
    """What a spike carries."""

    bits: Known[SpikeBits]


Cores = Annotated[int, Field(gt=0, le=2**20)]
"""A number of cores or tiles on one chip; no chip comes near the bound, and tables of this size are made."""


class ChipCount(Strict):
    """What one chip has, as a program may use it."""

    cores: Cores
    processors: Count | None = None


class NominalMax(Strict):
    """Figures of the vendor that no program need reach."""

    cores: Positive
    processors: Count
    neurons: Positive
    synapses: Positive


class Tiles(Strict):
    """Tiles of the mesh."""

    count: Cores
    cores_per_tile: Cores


class ScaleMax(Strict):
    """The largest system that the addresses allow."""

    cores_on_mesh: Positive
    chips: Positive


def _no_mesh() -> Quantity[tuple[Positive, Positive]]:
    return Quantity(v="missing", src="policy", basis="policy", conf="high")


class Chip(Strict):
    """One chip and how many of them there can be; ``system`` names the one of ``systems`` that is meant, if one is."""

    name: Name
    vendor: Text
    process_nm: Known[Positive] | None = None
    process: Text | None = None
    count: Known[ChipCount]
    nominal_max: Known[NominalMax] | None = None
    tiles: Known[Tiles] | None = None
    mesh: Quantity[tuple[Positive, Positive]] = Field(default_factory=_no_mesh)
    routing: Known[Literal["xy"]] | None = None
    scale_max: Known[ScaleMax] | None = None
    systems: Known[dict[Name, Positive]] | None = None
    system: Name | None = None
    input_max: Known[tuple[Positive, Positive]] | None = None
    onchip_over_interchip_bandwidth: Known[Positive] | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        mesh, tiles = self.mesh.known(), self.tiles.v if self.tiles else None
        if mesh and not tiles:
            raise ValueError("mesh is given but tiles is not")
        if mesh and tiles and mesh[0] * mesh[1] != tiles.count:
            raise ValueError(f"mesh {mesh[0]} x {mesh[1]} contradicts tiles.count = {tiles.count}")
        if tiles and tiles.count * tiles.cores_per_tile < self.count.v.cores:
            raise ValueError(
                f"{tiles.count} tiles of {tiles.cores_per_tile} contradict count.cores = {self.count.v.cores}"
            )
        if self.system is not None and (self.systems is None or self.system not in self.systems.v):
            known = ", ".join(self.systems.v) if self.systems else "none"
            raise ValueError(f"system = {self.system!r} is not one of systems ({known})")
        return self
