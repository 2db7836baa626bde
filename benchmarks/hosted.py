"""A transformer whose softmax, norms and gate the host computes: accuracy, and the shares of its parts.

``PYTHONPATH=tests python -m benchmarks.hosted`` trains it on the digits of scikit-learn, imports, cuts, compiles, runs
it and prints the tables of ``docs/transformers.md``.
"""

import numpy as np
import torch
from rich.console import Console
from sklearn.datasets import load_digits

import ranvier
from ranvier.cli.hosted import hosted_tables
from ranvier.cli.tables import verification_tables
from ranvier.compiler.ir.hosted import HostedNetwork
from support.hosted_transformers import hosted_transformer
from support.transformers import shown

TRAINED, EPOCHS, CALIBRATED = 1200, 8, 128


def main() -> None:
    """Train, compile, run, print."""
    images, labels = load_digits(return_X_y=True)
    images = images.astype(np.float32) / 16.0
    module = hosted_transformer((images[:TRAINED], labels[:TRAINED]), EPOCHS)
    tested = shown(images[TRAINED:])
    with torch.no_grad():
        spikes = module(tested).numpy().swapaxes(0, 1)
    network = ranvier.load(module, sample=tested[:, :1], host=True)
    assert isinstance(network, HostedNetwork)
    app = ranvier.compile(network, "loihi2", shown(images[:CALIBRATED]).numpy().swapaxes(0, 1))
    inputs = tested.numpy().swapaxes(0, 1)
    same = float(np.mean(app.run_float(inputs).outputs == spikes))
    report = app.report(app.run(inputs))
    found = ranvier.verify(app, network, (inputs, labels[TRAINED:]), ("simulator", "oracle"))
    console = Console(width=160)
    console.print(f"equal to torch: {100 * same:.3f} % of the output spikes in float")
    for part in (*hosted_tables(report), *verification_tables(found)):
        console.print(part)


if __name__ == "__main__":
    main()
