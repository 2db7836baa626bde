"""lava-dl ``.net`` files: networks that SLAYER trained and exported, in integers as they stand on the chip.

Layers ``/layer/<i>`` with integer weights and CUBA neurons. SLAYER keeps states with 4096 units to 1.0
and multiplies what arrives by 64, so a weight W is worth ``W * 64 / 4096`` and the threshold mantissa ``m``
is worth ``64 m / 4096``. Registers as lava-dl's own importer sets them: ``du = iDecay - 1``,
``dv = vDecay``, ``vth = vThMant``, bias exponent 6. The input layer is a population driven by its bias:
what enters is ``x``, sent as the integer ``round(weight * x)``; the layer's constant is in the bias register.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray, IntArray, Shape, floats, integers, size
from ranvier.compiler.ir.delays import delayed
from ranvier.compiler.ir.linear import Conv, Dense, Grid, Reshape, Scale, SignMode
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Note, Payload, Readout, ReadoutKind
from ranvier.compiler.ir.neurons import RegisterLif
from ranvier.frontends.fields import Fields, mismatch
from ranvier.frontends.hdf5 import Group, read_hdf5

STATE_SCALE = 4096.0
BIAS_EXPONENT = 6
BIAS_MANTISSA = 4095
SILENT_VTH = 2**17 - 1
MAX_DELAY = 62
MAX_LAYERS = 500
SUPPORTED = ("input", "flatten", "dense", "dense_rec", "conv", "average")
NEURONS = ("CUBA", "LOIHI")
RANGES: Mapping[str, tuple[int, int]] = {"mixed": (-256, 255), "excitatory": (0, 255), "inhibitory": (-255, 0)}
COUNTER = RegisterLif(integers(-1), integers(4096), integers(2**17))
"""Adds up all that ever arrived, and never fires."""
_FIX = "export the network again with lava-dl"


def load_netx(path: str | Path, *, input_shape: Shape | None = None, readout: ReadoutKind | None = None) -> Network:
    """Read the ``.net`` file at ``path``; weights, decays and thresholds are taken as they are.

    ``input_shape`` (channels, height, width) is needed only when the first layer is a convolution;
    ``readout`` defaults to the spike count, or to the last membrane where the last layer cannot spike.
    Raises ``RanvierError`` with everything that cannot be read.
    """
    tree = read_hdf5(path, "RV140", ".net file")
    builder = _Builder(input_shape)
    for number, group in _layers(tree):
        builder.add(number, group)
    return builder.network(Path(path).stem, readout)


def _layers(tree: Group) -> list[tuple[int, Group]]:
    held = tree.groups.get("layer")
    names = list(held.groups) if held else []
    if held is None or not 0 < len(names) <= MAX_LAYERS or sorted(names) != sorted(map(str, range(len(names)))):
        text = f"it has no layers /layer/0, /layer/1, ... (found {len(names)})"
        raise error("RV141", "file", text, "give a .net file that lava-dl exported")
    return [(number, held.groups[str(number)]) for number in range(len(names))]


@dataclass
class _Layer:
    """One layer of the file: its number, type and values."""

    number: int
    type: str
    fields: Fields
    neuron: Fields | None

    @property
    def name(self) -> str:
        return f"{self.type}{self.number}"

    @property
    def place(self) -> str:
        return self.fields.place


@dataclass
class _Builder:
    """Adds layer after layer; ``last`` is the node whose output the next layer takes."""

    input_shape: Shape | None
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    problems: list[Diagnostic] = field(default_factory=list)

    def add(self, number: int, group: Group) -> None:
        """Read one layer; what is wrong with it is collected."""
        try:
            self._add(_layer(number, group))
        except RanvierError as found:
            self.problems += found.diagnostics

    def network(self, name: str, readout: ReadoutKind | None) -> Network:
        """The finished network."""
        populations = [node for node in self.nodes if isinstance(node, Neurons)]
        if not self.problems and not populations:
            self.problems.append(Diagnostic("RV141", "file", "it has no layer with neurons", _FIX))
        if self.problems:
            raise RanvierError(self.problems)
        last = populations[-1]
        assert isinstance(last.model, RegisterLif)
        self._delay_output(last, last.model)
        kind: ReadoutKind = "last_membrane" if int(last.model.vth.min()) >= SILENT_VTH else "spike_count"
        if readout is None:
            self._note("RV152", last.name, f"the answer is its {kind.replace('_', ' ')}, which the file does not say")
        return Network(
            name, tuple(self.nodes), tuple(self.edges), Readout(last.name, readout or kind), tuple(self.notes)
        )

    def _delay_output(self, last: Neurons, model: RegisterLif) -> None:
        """Axonal delays of the last layer, which nothing hears: they move in front of its neurons."""
        if self.nodes[-1] is last:
            return
        arriving = [edge.source for edge in self.edges if edge.target == last.name]
        if len(arriving) > 1:
            text = "its axonal delays delay what is read, but not what it sends back to itself"
            raise error("RV147", last.name, text, "add a layer behind it, or train the last layer without delays")
        if bool(np.any(model.bias != 0)):
            text = "its axonal delays are put on what arrives; spikes from its bias are not delayed"
            self._note("RV153", last.name, text)
        first = self.nodes.index(last)
        branches, self.nodes = self.nodes[first + 1 :], [*self.nodes[:first], *self.nodes[first + 1 :], last]
        names = {node.name for node in branches}
        moved = {last.name: arriving[0]}
        kept = [edge for edge in self.edges if edge.target != last.name]
        self.edges = [replace(e, source=moved.get(e.source, e.source)) if e.target in names else e for e in kept]
        self.edges.append(Edge(branches[-1].name, last.name))

    def _add(self, layer: _Layer) -> None:
        if layer.type == "input":
            self._input(layer)
            return
        if self.nodes and isinstance(last := self.nodes[-1], Neurons) and last.name.startswith("average"):
            raise error("RV143", layer.place, "a layer behind an average layer", "end the network with the average")
        if not self.nodes:
            self._append(Input("input", self._first_shape(layer), "spikes"), None)
        shape = self.nodes[-1].out_shape
        if layer.type == "flatten":
            self._append(Reshape(layer.name, shape, (size(shape),)))
        elif layer.type == "average":
            self._average(layer, shape)
        else:
            self._synapses(layer, shape)

    def _append(self, node: Node, delay: int | None = 0) -> None:
        if delay is not None:
            self.edges.append(Edge(self.nodes[-1].name, node.name, delay))
        self.nodes.append(node)

    def _note(self, code: str, place: str, text: str) -> None:
        self.notes.append(Note(code, place, text))

    def _first_shape(self, layer: _Layer) -> Shape:
        if self.input_shape is not None:
            return self.input_shape
        if layer.type in ("dense", "dense_rec"):
            return layer.fields.checked_shape(layer.fields.integers("inFeatures", 1, least=1))
        text = "the file does not say the height and width of what enters its first layer"
        raise error("RV149", layer.place, text, "give input_shape=(channels, height, width)")

    def _input(self, layer: _Layer) -> None:
        if self.nodes:
            raise error("RV143", layer.place, "an input layer after other layers", "put the input layer first")
        shape = layer.fields.shape("shape")
        if layer.neuron is None:
            self._append(Input("input", shape, "spikes"), None)
            return
        factor = layer.fields.array("weight", 1.0).ravel()
        if factor.size != 1 or factor[0] == 0:
            raise error("RV142", layer.place, f"its weight {factor[:4].tolist()} is not one number other than 0", _FIX)
        model = self._model(layer, size(shape), shape[0])
        weight = float(factor[0])
        text = f"x drives neurons through the bias round({weight:g} x) + {int(model.bias.flat[0]) >> BIAS_EXPONENT}"
        self._note("RV151", layer.name, text)
        bits = BIAS_MANTISSA.bit_length() + 1
        self._append(Input("input", shape, "current", Payload(bits, abs(weight))), None)
        self._append(Scale(f"{layer.name}.weight", shape, floats(weight), floats(0.0)))
        direct = replace(model, du=integers(STATE_SCALE - 1))
        self._append(Neurons(layer.name, shape, direct, STATE_SCALE))

    def _synapses(self, layer: _Layer, arriving: Shape) -> None:
        """Weights, neurons, and the way back of a recurrent layer."""
        delays = self._delays(layer)
        synapse = self._dense(layer, "weight", arriving) if layer.type != "conv" else self._conv(layer, arriving)
        shape = synapse.out_shape
        stated = layer.fields.group.values.get("shape")
        if isinstance(stated, np.ndarray) and size(layer.fields.shape("shape")) != size(shape):
            raise mismatch("RV145", layer.place, f"{stated.ravel().tolist()} by its shape", shape)
        model = self._model(layer, size(shape), shape[0])
        self._append(synapse)
        self._append(Neurons(layer.name, shape, model, STATE_SCALE))
        if layer.type == "dense_rec":
            back = self._dense(layer, "weight_rec", shape)
            self.nodes.insert(-1, back)
            self.edges += [Edge(layer.name, back.name, 1), Edge(back.name, layer.name)]
        if bool(np.any(delays)):
            self._delay(layer, _spread_delays(layer, delays, shape))

    def _average(self, layer: _Layer, arriving: Shape) -> None:
        """The spikes of groups of neurons, counted by one neuron each: what SLAYER averages over a group and time."""
        groups = size(layer.fields.shape("shape"))
        if size(arriving) % groups:
            raise mismatch("RV145", layer.place, f"{groups} groups of equal size", arriving)
        self._note("RV156", layer.name, f"it counts the spikes of {size(arriving) // groups} neurons for each output")
        ones = floats(np.kron(np.eye(groups), np.ones((1, size(arriving) // groups))))
        self._append(Dense(f"{layer.name}.weight", ones, None, Grid(STATE_SCALE, 0, "excitatory")))
        self._append(Neurons(layer.name, (groups,), COUNTER, STATE_SCALE))

    def _delay(self, layer: _Layer, delays: IntArray) -> None:
        """The axonal delays of a layer, as a node that the next layer takes its input from."""
        neurons = self.nodes[-1]
        assert isinstance(neurons, Neurons)
        nodes, edges = delayed(f"{layer.name}.delay", layer.name, neurons.shape, delays)
        self.nodes += nodes
        self.edges += edges

    def _dense(self, layer: _Layer, name: str, arriving: Shape) -> Dense:
        values = layer.fields.array(name)
        outputs = size(layer.fields.integers("outFeatures", 1, least=1))
        if values.size != outputs * size(arriving):
            raise mismatch("RV145", layer.place, f"{values.size / outputs:g} values by its {name}", arriving)
        weight, grid = self._on_grid(layer, values.reshape(outputs, size(arriving)), name)
        return Dense(f"{layer.name}.{name}", weight, None, grid)

    def _conv(self, layer: _Layer, arriving: Shape) -> Conv:
        values, fields = layer.fields.array("weight"), layer.fields
        if values.ndim == 5 and values.shape[4] == 1:
            values = values[..., 0]
        groups = fields.integers("groups", 1, 1, least=1)[0]
        if values.ndim != 4 or values.shape[0] % groups:
            raise fields.bad("weight", f"has shape {values.shape}, not (outputs, inputs / {groups} groups, h, w)")
        if len(arriving) != 3 or arriving[0] != values.shape[1] * groups:
            raise mismatch("RV145", layer.place, f"{values.shape[1] * groups} channels of two axes", arriving)
        padding = fields.integers("padding", 2, 0)
        stride, dilation = fields.integers("stride", 2, 1, least=1), fields.integers("dilation", 2, 1, least=1)
        spans = [d * (k - 1) + 1 for d, k in zip(dilation, values.shape[2:], strict=True)]
        if any(span > n + 2 * p or p >= span for span, n, p in zip(spans, arriving[1:], padding, strict=True)):
            raise mismatch("RV145", layer.place, f"at least its kernel's {spans}, padded by {padding}", arriving)
        weight, grid = self._on_grid(layer, values, "weight")
        pads = tuple((p, p) for p in padding)
        conv = Conv(f"{layer.name}.weight", weight, arriving, None, stride, pads, dilation, groups, grid)
        fields.checked_shape(conv.out_shape)
        return conv

    def _on_grid(self, layer: _Layer, values: FloatArray, name: str) -> tuple[FloatArray, Grid]:
        """The integer weights of the file on the grid of their sign mode, as lava-dl's importer takes them."""
        if bool(np.any(values != np.rint(values))):
            text = f"{int(np.sum(values != np.rint(values)))} of {values.size} values of {name} are no integers"
            raise error("RV146", layer.place, text, "export with quantized weights (quantize=True in the block)")
        low, high = float(values.min()), float(values.max())
        sign: SignMode = "mixed" if low < 0 < high else ("inhibitory" if low < 0 else "excitatory")
        kept = np.clip(values, *RANGES[sign])
        kept = np.floor(kept / 2.0) * 2.0 if sign == "mixed" else kept
        changed = int(np.sum(kept != values))
        if changed:
            text = (
                f"{changed} of {values.size} values of {name} ({low:g} to {high:g}) are rounded down to the {sign} grid"
            )
            self._note("RV150", layer.name, f"{text}, as Lava does")
        return kept, Grid(STATE_SCALE, self._exponent(layer), sign)

    def _exponent(self, layer: _Layer) -> int:
        exponent = layer.neuron.signed("wgtExp", 0) if layer.neuron else 0
        if exponent != 0:
            text = f"its weight exponent is {exponent}; only 0 is supported"
            raise error("RV146", layer.place, text, "export with wgtExp = 0, the exponent in weights and threshold")
        return exponent

    def _delays(self, layer: _Layer) -> IntArray:
        if "delay" not in layer.fields:
            return integers(0)
        delays = np.floor(layer.fields.array("delay")).ravel()
        low, high = float(delays.min()), float(delays.max())
        if not 0 <= low <= high <= MAX_DELAY:
            text = f"its {delays.size} axonal delays run from {low:g} to {high:g} steps; 0 to {MAX_DELAY} can be had"
            raise error("RV147", layer.place, text, "train with clamped delays (max_delay)")
        return integers(delays)

    def _model(self, layer: _Layer, count: int, channels: int) -> RegisterLif:
        bias = self._bias(layer, count, channels)
        if layer.neuron is None:
            self._note("RV155", layer.name, "no neurons in the file: they add up what arrives and never fire")
            return replace(COUNTER, bias=bias)
        limits = (("iDecay", 4096), ("vDecay", 4096), ("vThMant", SILENT_VTH))
        read = {name: _register(layer.neuron, name, high, count, channels) for name, high in limits}
        return RegisterLif(integers(read["iDecay"] - 1), read["vDecay"], read["vThMant"], bias)

    def _bias(self, layer: _Layer, count: int, channels: int) -> IntArray:
        values = layer.fields.array("bias", 0.0).ravel()
        whole = np.rint(values)
        if values.size not in (1, channels, count) or float(np.abs(whole).max()) > BIAS_MANTISSA:
            raise layer.fields.bad(
                "bias", f"has {values.size} values for {count} neurons, up to {np.abs(values).max():g}"
            )
        if bool(np.any(whole != values)):
            worst = float(np.abs(whole - values).max())
            self._note("RV154", layer.name, f"biases are rounded to integers, by up to {worst:.3g}")
        return _per_neuron(integers(whole) << BIAS_EXPONENT, count)


def _layer(number: int, group: Group) -> _Layer:
    place = f"layer {number}"
    kind = group.text("type")
    fields = Fields(group, f"{place} ({kind})", "RV142", "RV148", _FIX)
    if kind not in SUPPORTED:
        text = f"layers of type {kind} cannot be read; {', '.join(SUPPORTED)} can"
        raise error("RV143", place, text, "replace the layer, e.g. pooling by a convolution with stride")
    held = group.groups.get("neuron")
    neuron = Fields(held, f"{place} ({kind}), neuron", "RV142", "RV148", _FIX) if held else None
    if neuron is not None:
        _check_neuron(neuron)
    return _Layer(number, kind, fields, neuron)


def _check_neuron(neuron: Fields) -> None:
    """Refuse neurons that are not the plain CUBA neuron, saying what they have that it has not."""
    kind = neuron.text("type")
    reasons = {"SDNN": "graded sigma-delta messages", "ALIF": "an adaptive threshold"}
    if kind not in NEURONS:
        why = reasons.get(kind or "", "oscillating complex state" if kind and "RF" in kind else "unknown dynamics")
        text = f"{kind} neurons have {why}; {' and '.join(NEURONS)} can be read"
        raise error("RV144", neuron.place, text, "train the layer with slayer.block.cuba")
    rest, graded = neuron.integers("refDelay", 1, 1)[0], neuron.integers("gradedSpike", 1, 0)[0]
    if rest > 1 or graded:
        text = f"refDelay = {rest} and gradedSpike = {bool(graded)}; 1 and False can be read"
        raise error("RV144", neuron.place, text, "train without refractory period and graded spikes")


def _register(neuron: Fields, name: str, high: int, count: int, channels: int) -> IntArray:
    values = neuron.array(name).ravel()
    legal = bool(np.all((values == np.rint(values)) & (values >= 0) & (values <= high)))
    if values.size not in (1, channels, count) or not legal:
        raise neuron.bad(name, f"is {values[:4].tolist()}, not 1 or {count} whole numbers from 0 to {high}")
    return _per_neuron(integers(values), count)


def _spread_delays(layer: _Layer, delays: IntArray, shape: Shape) -> IntArray:
    """One delay per neuron from one for all, one per channel or one per neuron."""
    if delays.size not in (1, shape[0], size(shape)):
        raise layer.fields.bad("delay", f"has {delays.size} values for {size(shape)} neurons in {shape[0]} channels")
    return np.repeat(delays.reshape(-1), size(shape) // delays.size)


def _per_neuron(values: IntArray, count: int) -> IntArray:
    """One value per neuron from one value, one per channel or one per neuron."""
    return integers(values.reshape(())) if values.size == 1 else integers(np.repeat(values, count // values.size))
