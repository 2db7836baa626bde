"""Which output of a single step continues which of its inputs."""

from collections.abc import Mapping
from itertools import permutations

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.frontends.onnx.model import OnnxGraph

STEPS = 6
MANY = 6
ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div", "Neg", "Where", "Cast", "Identity", "Relu", "Max", "Clip", "Sum"})
THRESHOLDS = frozenset({"Greater", "GreaterOrEqual", "Less", "LessOrEqual"})


def pair_states(graph: OnnxGraph, given: Mapping[str, str] | None) -> dict[str, str]:
    """State input -> the output that is its next value; exactly one input is left, the frame.

    ``given`` decides; else an output continues an input of its shape if it depends on it element by element, and the
    assignment must be the only one of largest size with one input left over.
    """
    if given:
        return _checked(graph, given)
    reach = {o: _elementwise(graph, o) for o in dict.fromkeys(graph.outputs)}
    inputs = list(graph.inputs)
    options = {n: [o for o, seen in reach.items() if n in seen and graph.shapes[o] == graph.inputs[n]] for n in inputs}
    frames = [n for n in inputs if not options[n]]
    states = [n for n in inputs if options[n]]
    if len(frames) != 1 or len(states) > MANY * 4:
        raise _unclear(graph, f"{len(frames)} of its inputs ({', '.join(inputs[:8])}) continue no output")
    found = _assignments(states, options)
    if len(found) > 1:
        found = [f for f in found if _triangular(f, reach)] or found
    if len(found) != 1:
        raise _unclear(graph, f"{len(found)} ways fit in which {', '.join(states[:8])} are continued")
    return found[0]


def _assignments(states: list[str], options: Mapping[str, list[str]]) -> list[dict[str, str]]:
    """All ways to give every state an output of its own; at most a hundred are looked for."""
    found: list[dict[str, str]] = []

    def extend(index: int, taken: dict[str, str]) -> None:
        if len(found) > 100:
            return
        if index == len(states):
            found.append(dict(taken))
            return
        for output in options[states[index]]:
            if output not in taken.values():
                extend(index + 1, {**taken, states[index]: output})

    extend(0, {})
    return found


def _triangular(pairs: Mapping[str, str], reach: Mapping[str, frozenset[str]]) -> bool:
    """Whether some output depends on its own state alone: a current before its membrane, not the other way round."""
    depends = {n: reach[o] & pairs.keys() for n, o in pairs.items()}
    return not any(a in depends[b] and b in depends[a] for a, b in permutations(pairs, 2))


def _elementwise(graph: OnnxGraph, output: str) -> frozenset[str]:
    """The inputs that ``output`` depends on through element-by-element arithmetic, thresholds left out."""
    makers = {name: node for node in graph.nodes for name in node.outputs}
    seen: set[str] = set()
    pending = [output]
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        maker = makers.get(name)
        if maker is not None and maker.op in ELEMENTWISE:
            pending += [n for n in maker.inputs if n]
    return frozenset(seen & graph.inputs.keys())


def _checked(graph: OnnxGraph, given: Mapping[str, str]) -> dict[str, str]:
    for state, output in given.items():
        if state not in graph.inputs or output not in graph.outputs or graph.shapes[output] != graph.inputs[state]:
            text = f"states says that {output!r} continues {state!r}, but they are no output and input of one shape"
            raise _unclear(graph, text)
    if len(graph.inputs) - len(given) != 1:
        raise _unclear(graph, f"states leaves {len(graph.inputs) - len(given)} inputs as frames")
    return dict(given)


def _unclear(graph: OnnxGraph, why: str) -> RanvierError:
    outputs = ", ".join(graph.outputs[:8])
    return error(
        "RV292",
        graph.file,
        f"which inputs are states of the neurons cannot be seen: {why}.",
        "Say ranvier.frontends.onnx.load_onnx(path, states={'input': 'output that continues it'}); the outputs are "
        f"{outputs}.",
    )
