"""Proofs of overflow as people and programs read them."""

from pathlib import Path

from rich.text import Text

from ranvier.cli.arrays import write_arrays
from ranvier.cli.output import Answer, Output, clean
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.proof import Open, Proof, Refuted, Verdict, counterexamples, prove


def proved(chip: ChipNetwork, output: Output, seconds: float, path: Path | None) -> Answer:
    """Every register of ``chip`` proved, refuted or open; the inputs that overflow, if any, go to ``path``."""
    with output.working("searching") as tick:
        proof = prove(chip, seconds, progress=tick)
    written = path if proof.refuted else None
    if written is not None:
        write_arrays(written, {"inputs": counterexamples(proof)})
    values = {"verdict": proof.verdict, "registers": proof.to_json(), "counterexamples": written}
    return Answer({"proof": values}, (Text(clean(_text(proof, written))),))


def _text(proof: Proof, written: Path | None) -> str:
    """The registers that are not proved: an input that overflows, or how far the search came."""
    told = zip(proof.registers, proof.verdicts, strict=True)
    lines = [f"search: {proof.verdict}", *(line for register, verdict in told for line in _line(register, verdict))]
    if written is not None:
        lines.append(f"  the inputs that overflow are in {written}")
    return "\n".join(lines)


def _line(register: str, verdict: Verdict) -> list[str]:
    bound = verdict.bound
    place, held = f"  {bound.population} {register}", f"it holds {bound.least:,} to {bound.most:,}"
    if isinstance(verdict, Refuted):
        neuron = ",".join(map(str, verdict.neuron))
        return [f"{place}: neuron {neuron} needs {verdict.value:,} in step {verdict.step}; {held}"]
    if isinstance(verdict, Open):
        seen = f"{verdict.low:,} to {verdict.high:,} seen, head-room {verdict.head_room:,}"
        return [f"{place}: open; {seen}; {held}"]
    return []
