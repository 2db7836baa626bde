"""``make figures``: compiles the published networks and writes what was measured to docs/figures.md.

Every table is made here, in this run, by the code it shows; nothing is copied in by hand but the
published figures, which are marked as such. ``python -m benchmarks.figures braille`` prints one table.
"""

import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

import ranvier
from ranvier.app import App
from ranvier.runtimes import reference
from support import cases

TARGET = "loihi2"
FILE = Path(__file__).parents[1] / "docs" / "figures.md"
Rows = Sequence[Sequence[object]]


def percent(share: float | None) -> str:
    """A share as per cent with two decimals."""
    return "-" if share is None else f"{100 * share:.2f}"


def table(header: Sequence[str], rows: Rows) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def compiled(case: cases.Case) -> App:
    """The network of ``case`` compiled with its calibration data."""
    return ranvier.compile(case.network, TARGET, case.calibration)


def deployed_row(name: str, case: cases.Case, lava_samples: int) -> list[object]:
    """Float and deployed accuracy, interval, and the comparison with Lava, of one network."""
    app = compiled(case)
    found = ranvier.verify(
        app, case.network, (case.inputs, case.labels), ("simulator", "lava"), samples_lava=lava_samples
    )
    (lava,) = found.comparisons
    interval = "-" if found.interval is None else " to ".join(percent(x) for x in found.interval)
    return [
        name,
        found.samples,
        percent(found.float_accuracy),
        percent(found.accuracy),
        interval,
        percent(found.same_predictions),
        app.program.placement.cores,
        sum(o.count for o in found.overflows),
        lava.samples,
        f"{lava.spikes:,}",
        lava.disagreements,
    ]


HEADER = (
    "network", "samples", "float %", "deployed %", "95 % interval", "same prediction %", "cores", "overflows",
    "samples in Lava", "neuron-steps compared", "disagreements",
)  # fmt: skip


def digits() -> str:
    """The example that ships with Ranvier."""
    return table(HEADER, [deployed_row("digits, snnTorch", cases.digits(), 40)])


def nmnist() -> str:
    """The N-MNIST network of the NIR paper in the four readings that its file leaves open."""
    rows = [deployed_row(reading, cases.nmnist(reading), 5) for reading in cases.READINGS]
    return table(HEADER, rows) + "\n\n100 samples carry an uncertainty of 2 to 4 points."


def braille() -> str:
    """The recurrent Braille networks of the NIR paper, on samples that may overlap their training set."""
    return table(HEADER, [deployed_row(variant, cases.braille(variant), 20) for variant in cases.BRAILLE])


def braille_published() -> str:
    """Why the published Lava figure of the first Braille network is 48.6 % and ours is not.

    The published conversion gives each Dense its weights and each LIF its decays, and nothing carries the biases:
    Lava's Dense has none. Leaving them out of our program does the same to it.
    """
    case = cases.braille("bias, reset to zero")
    app = compiled(case)

    def accuracy(changed: App) -> str:
        return percent(float((changed.run(case.inputs).predictions == case.labels).mean()))

    float_accuracy = float((reference.run(case.network, case.inputs).predictions == case.labels).mean())
    rows = [
        ["float network", percent(float_accuracy)],
        ["compiled, as it is", accuracy(app)],
        ["compiled, then all biases set to zero", accuracy(cases.without_biases(app))],
        ["published, Lava fixed point, other samples (the paper's held-out 140)", "48.6"],
    ]
    return table(("program", "accuracy %"), rows)


def mnist() -> str:
    """lava-dl's MNIST network: integers taken as they are; published: 25 of 25 and 5 cores on a Loihi 2 board."""
    case = cases.mnist_net()
    app = compiled(case)
    right = app.run(case.inputs).predictions == case.labels
    few = np.ascontiguousarray(case.inputs[:25])
    host, lava = app.run(few, ("spikes",)), app.run(few, ("spikes",), "lava")
    wrong = sum(int((host.spikes[name] != lava.spikes[name]).sum()) for name in host.spikes)
    rows = [
        [
            len(right),
            f"{right.sum()} = {100 * right.mean():.3f}",
            f"{right[:25].sum()} of 25",
            app.program.placement.cores,
            wrong,
        ]
    ]
    return table(("samples", "right = %", "first 25", "cores", "Lava disagreements on 25"), rows)


CLAIMS: Sequence[tuple[str, str]] = (
    (
        "tinynet: spikes and currents of every layer equal lava-dl's ground truth",
        "end_to_end/test_netx_networks.py -k tinynet",
    ),
    ("PilotNet: u, v and spikes of 5 layers equal the recordings", "end_to_end/test_netx_networks.py -k pilotnet"),
    ("one neuron equals the trace of a Loihi 2 chip", "end_to_end/test_netx_networks.py -k loihi_2_chip"),
    (
        "lava-nc equals the oracle: LIF registers, grids, exponents, wraps, Conv, Sparse, recurrence",
        "runtimes/lava/test_differential.py",
    ),
    ("random legal networks: Lava equals the oracle", "runtimes/lava/test_driver.py"),
    ("random legal networks: the simulator equals the oracle", "runtimes/simulator/test_against_oracle.py"),
    (
        "512 inputs that wrap a current silently in Lava are reported with neuron and step",
        "runtimes/verify/test_overflow.py",
    ),
    ("a ReLU network without conversion is refused", "frontends/torch/test_refusals.py -k relu"),
    ("a NIR file without dt and reset is asked for both", "frontends/test_nir_readings.py -k asked_for_together"),
    ("damaged and hostile NIR and .net files: a clear error, in time, in memory", "frontends/test_fuzz.py"),
    ("damaged and hostile artifacts: the same", "compiler/test_artifact.py"),
)


def claims() -> str:
    """Properties that are shown by tests: each row was run here, with the test data in place."""
    rows = []
    for claim, tests in CLAIMS:
        path, *choice = tests.split()
        command = [sys.executable, "-m", "pytest", "-q", f"tests/{path}", *choice]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=FILE.parents[1])
        last = (done.stdout.strip().splitlines() or ["nothing ran"])[-1]
        rows.append([claim, f"`pytest tests/{tests}`", last.split(" in ")[0].strip("= ")])
    return table(("claim", "test", "result"), rows)


def converted() -> str:
    """A published ReLU network on the first 1000 MNIST test images, by steps shown; calibrated on 256 others.

    Its maxima are computed exactly, by rectifiers, or replaced by averages, which is another network. "No calibration"
    is what ``ranvier.convert`` refuses: a threshold of 1 in every layer.
    """
    from ranvier.conversion import STEPS  # noqa: PLC0415
    from ranvier.frontends.conversion.build import spiking  # noqa: PLC0415 - needs onnx, as the rest of this table
    from ranvier.frontends.conversion.onnx_model import read_onnx  # noqa: PLC0415
    from ranvier.frontends.conversion.pooling import averages, exact_maxima  # noqa: PLC0415
    from support.converted import germanov  # noqa: PLC0415

    case = germanov()
    plain = exact_maxima(read_onnx(case.path))
    ones = {a.name: np.array(1.0) for a in plain.activations}
    nets = {
        "99.9 % per layer": ranvier.convert(case.path, calibrate=case.calibration),
        "99.9 % per channel": ranvier.convert(case.path, calibrate=case.calibration, per_channel=True),
        "largest per layer": ranvier.convert(case.path, calibrate=case.calibration, percentile=100),
        "99.9 % per layer, average pools": ranvier.convert(case.path, calibrate=case.calibration, max_pool="average"),
        "no calibration": spiking(plain, ones, "current", ()),
    }
    rows = []
    for name, net in nets.items():
        app = case.compiled(net, max(STEPS))
        for kind, runs in (("float", net), (TARGET, app)):
            by_steps = ranvier.accuracy_by_steps(runs, case.inputs, case.labels)
            rows.append([name, kind, *map(percent, by_steps.values()), app.program.placement.cores])
    header = ("amplitudes", "run", *(f"T = {t}, %" for t in STEPS), "cores")
    source, averaged = percent(case.source_accuracy()), percent(case.source_accuracy(averages))
    return f"{table(header, rows)}\n\nThe ReLU network itself: {source} %, with average pools {averaged} %."


def first_spike() -> str:
    """The same ReLU network with values as times of first spikes, by the resolution of time; in floats, no chip."""
    from support.converted import germanov  # noqa: PLC0415 - needs onnx

    case = germanov()
    net = ranvier.convert_first_spike(case.path, calibrate=case.calibration)
    exact = net.run(case.inputs)
    rows = []
    for bits in (4, 6, 8, 10, None):
        found = exact if bits is None else net.run(case.inputs, bits)
        answers = found.scores.argmax(axis=1)
        rows.append([
            "exact" if bits is None else bits, percent(float((answers == case.labels).mean())),
            percent(float((answers == exact.scores.argmax(axis=1)).mean())), f"{found.spikes_per_neuron:.2f}",
            found.early,
        ])  # fmt: skip
    return table(("time bits", "accuracy %", "same answer as exact %", "spikes per neuron", "too early"), rows)


FIGURES: Mapping[str, tuple[str, Callable[[], str]]] = {
    "digits": ("Digits", digits),
    "nmnist": ("N-MNIST, real events", nmnist),
    "braille": ("Braille, recurrent", braille),
    "braille_published": ("Braille: the published Lava figure", braille_published),
    "mnist": ("MNIST, a lava-dl network", mnist),
    "converted": ("MNIST, a ReLU network converted", converted),
    "first_spike": ("MNIST, a ReLU network in first spikes", first_spike),
    "claims": ("What tests show", claims),
}


def section(name: str) -> str:
    """One figure with its title, what it shows, and the command that made it."""
    title, made = FIGURES[name]
    shows = "\n".join(line.strip() for line in (made.__doc__ or "").strip().splitlines())
    command = f"PYTHONPATH=tests python -m benchmarks.figures {name}"
    return f"## {title}\n\n{shows}\n\n{made()}\n\n`{command}`\n"


def main(names: Sequence[str]) -> None:
    """Print the figures in ``names``, or write all of them."""
    if names:
        print("\n".join(map(section, names)))
        return
    packages = ", ".join(f"{p} {version(p)}" for p in ("ranvier", "numpy", "numba", "torch", "snntorch"))
    made = "Made by the command under each table (`make figures` runs them all), with"
    head = f"# Figures\n\n{made} Python {platform.python_version()}, {packages}, lava-nc 0.10.0.\n"
    text = "\n".join([head, *map(section, FIGURES)])
    FILE.write_text(text)
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
