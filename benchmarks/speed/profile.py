"""``python -m benchmarks.speed.profile [WORKLOAD ...]``: where our own time goes on the benchmark's networks.

One thread; every call of the time loop with its share, and which way the sums of each dense connection were made.
"""

import argparse

from benchmarks.speed.workloads import FULL

from ranvier.runtimes.simulator.profile import profile


def main() -> None:
    """Print one profile for each workload."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.profile", description=__doc__)
    parser.add_argument("workloads", nargs="*", default=["mlp 10%", "nmnist"], help="by the beginning of their names")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    for name, make in FULL.items():
        if name.startswith(tuple(asked.workloads)):
            workload = make()
            inputs = workload.inputs[: asked.batch]
            print(f"{name}, batch {len(inputs)}\n{profile(workload.chip, inputs, repeats=asked.repeats)}\n", flush=True)


if __name__ == "__main__":
    main()
