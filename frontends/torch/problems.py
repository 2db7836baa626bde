"""The diagnostics of the torch frontend (RV180 to RV229) that more than one file raises."""

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.frontends.torch.capture import Site

CODES = {
    "RV180": "no spiking neuron in the module (a ReLU network without conversion, for example)",
    "RV181": "an activation function between spiking layers",
    "RV182": "max pooling",
    "RV183": "a layer without a counterpart in a network of spikes and weighted sums",
    "RV184": "a layer option or shape that cannot be kept",
    "RV185": "an operation in forward that is not a weighted sum",
    "RV186": "a tensor whose origin cannot be seen, as from a hand-written neuron",
    "RV187": "a module of a framework without an adapter",
    "RV190": "a neuron option that cannot be kept",
    "RV191": "a subclass of a known neuron",
    "RV192": "a neuron class without an adapter",
    "RV193": "neuron parameters out of range",
    "RV194": "a neuron that behaves differently from its adapter",
    "RV200": "connections that change from step to step",
    "RV201": "neurons called a different number of times",
    "RV202": "a state handed over that is not the neuron's own",
    "RV203": "an initial state that is not zero",
    "RV204": "an input frame from the future, or frames out of step",
    "RV205": "a whole sequence given to a neuron at once",
    "RV206": "an operation that mixes samples or steps",
    "RV210": "a sample that cannot be used",
    "RV211": "a module that fails on its sample",
    "RV212": "a number of steps that contradicts the module",
    "RV213": "an input coding that contradicts the sample",
    "RV220": "a return value that is no readout",
    "RV221": "a readout that has to be chosen",
    "RV364": "a maximum or product of input values that are not spikes",
    "RV225": "a captured network that does not reproduce the module",
    "RV226": "noted: the input coding was taken from the sample",
    "RV227": "noted: forward reads values in Python",
    "RV228": "noted: populations that do not reach the readout were left out",
    "RV229": "noted: the input is one frame per step",
    "RV230": "a SpikingJelly neuron with an option that cannot be kept",
    "RV231": "a SpikingJelly class without an adapter",
    "RV235": "a Sinabs neuron with an option that cannot be kept",
    "RV236": "a Sinabs class without an adapter",
    "RV240": "a Rockpool neuron with an option that cannot be kept",
    "RV241": "a Rockpool class without an adapter",
    "RV243": "a SLAYER block or neuron with an option that cannot be kept",
    "RV244": "a class of SLAYER without an adapter",
    "RV245": "a readout whose neurons come late by different numbers of steps",
    "RV246": "noted: the module leaves out the last steps of a readout that comes late",
    "RV247": "a product of spike trains with too many elements",
    "RV248": "a matrix product of signals that are not both spikes: where the host has to compute",
    "RV260": "a neuron written by hand that is no leaky integrate-and-fire neuron",
    "RV261": "thresholds in forward whose spikes are not returned",
    "RV265": "a neuron whose spikes tell something else than its adapter",
    "RV268": "a registered neuron class that cannot be used",
    "RV270": "a Norse module whose step function or reset was replaced",
    "RV271": "a Norse parameter whose shape does not fit its neurons",
    "RV272": "a Norse parameter out of range",
    "RV273": "a class of Norse without an adapter",
    "RV730": "a function for the host that is not the same in every step",
    "RV731": "noted: a function that the host computes",
    "RV732": "an infinite constant that is no mask of a softmax",
    "RV733": "a function of the host that is read out by another rule than its sum",
    "RV734": "a softmax whose mask leaves nothing of a row",
    "RV735": "a function of the host that gives something else than the module",
    "RV752": "a product over time of something else than spikes: where the host has to compute",
    "RV755": "noted: the steps that a product over time is bounded by",
}


HOST = " Or import it with host=True: the host then computes this between the parts that run on the chip."


def not_linear(site: Site, what: str, host: bool = False) -> RanvierError:
    """Something in ``forward`` is not a weighted sum of spikes; ``host``: but a function that the host can compute."""
    return error(
        "RV185",
        str(site),
        f"{what} is not a weighted sum of spikes or input, which is all that a synapse can compute.",
        "Express it with Linear, Conv, AvgPool, BatchNorm, adds and constant factors, or move it after the network."
        f"{HOST if host else ''}",
    )


def mixes(site: Site, what: str) -> RanvierError:
    """Something in ``forward`` mixes the batch or the time axis with others."""
    return error(
        "RV206",
        str(site),
        f"{what} mixes samples, time steps or features in a way that has no meaning for one sample and one step.",
        "Keep the batch axis first within each step, select steps one by one, and flatten with flatten(1).",
    )


def unsupported_option(place: str, what: str, fix: str) -> RanvierError:
    """A layer with an option that the network's operations do not have."""
    return error("RV184", place, what, fix)
