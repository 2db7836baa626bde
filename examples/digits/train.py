"""Train the network and write its weights and data: ``python train.py [folder]`` (half a minute on one core).

Everything is seeded and runs on one thread with the plain vector instructions of every x86-64 machine,
so that a second run writes the same bytes.
"""

import os

os.environ |= {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "OMP_NUM_THREADS": "1"}

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn import functional

from ranvier.examples.digits.model import DigitsNet

SEED = 1
EPOCHS = 24
BATCH = 50
LEARNING_RATE = 4e-3
CALIBRATION = 128


def main(folder: Path) -> None:
    """Train, print the accuracy on the test split, and write the three files."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.backends.mkldnn.set_flags(False)  # type: ignore[no-untyped-call]
    train_x, test_x, train_y, test_y = split()
    net = DigitsNet()
    fit(net, torch.from_numpy(train_x), torch.from_numpy(train_y))
    with torch.no_grad():
        predictions = net.eval()(torch.from_numpy(test_x)).sum(0).argmax(1).numpy()
    print(f"test accuracy {100 * np.mean(predictions == test_y):.2f} % of {len(test_y)}")
    save_file(dict(net.state_dict()), folder / "weights.safetensors")
    write_npz(folder / "test.npz", inputs=test_x, labels=test_y)
    write_npz(folder / "calibration.npz", inputs=train_x[:CALIBRATION])


def split() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Images (n, 1, 8, 8) from 0 to 1 and labels: four fifths to train, one fifth to test."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    labels = labels.astype(np.int64)
    parts = train_test_split(images, labels, test_size=0.2, random_state=SEED, stratify=labels)
    return parts[0], parts[1], parts[2], parts[3]


def fit(net: DigitsNet, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Minimise the cross entropy of the output spike counts with Adam and a cosine schedule."""
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for epoch in range(EPOCHS):
        losses = []
        for batch in torch.randperm(len(images)).split(BATCH):  # type: ignore[no-untyped-call]
            loss = functional.cross_entropy(net(images[batch]).sum(0), labels[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
        schedule.step()
        print(f"epoch {epoch + 1:2d}  loss {np.mean(losses):.4f}")


def write_npz(path: Path, **arrays: NDArray[np.generic]) -> None:
    """An ``.npz`` file without the time of writing in it, so that equal arrays give equal bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
