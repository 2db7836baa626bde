"""``ranvier targets``: the chips that programs can be compiled for."""

from ranvier import api
from ranvier.cli.output import Answer, Output
from ranvier.cli.tables import row, table
from ranvier.targets.load import load_target
from ranvier.targets.schema import Target


def targets(output: Output) -> Answer:
    """List the chips that ship with Ranvier, with their main figures."""
    found = [load_target(name) for name in api.target_names()]
    made = table("targets", "name", "cores#", "chips at most#", "neurons", "graded spikes", "shared kernels")
    for target in found:
        values = _figures(target)
        neurons = "programmable" if values["programmable"] else "fixed"
        bits = f"{values['graded_bits']} bits" if values["graded_bits"] else "no"
        shared = "yes" if values["shares_convolution"] else "no"
        cores, chips = f"{values['cores_per_chip']}", f"{values['max_chips']:,}"
        row(made, target.name, cores, chips, neurons, bits, shared)
    if output.verbose:
        made.caption = "sources: " + "; ".join(dict.fromkeys(s.cite for t in found for s in t.sources.values()))
    return Answer({"targets": {target.name: _figures(target) for target in found}}, (made,))


def _figures(target: Target) -> dict[str, object]:
    return {
        "vendor": target.chip.vendor,
        "cores_per_chip": target.cores_per_chip,
        "max_chips": target.max_chips,
        "programmable": target.programmable,
        "graded_bits": target.graded_bits,
        "shares_convolution": target.shares_convolution,
    }
