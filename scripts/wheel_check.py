"""Build the sdist and the wheel from it, install that in a clean environment, run the demo from elsewhere.

A wheel that lacks a folder builds without an error, so its contents are compared with the working tree first.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
_OF_THE_CHECKOUT = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
FOLDERS = ("compiler", "examples", "frontends", "runtimes", "targets")


def run(*command: str | Path, cwd: Path = REPOSITORY) -> None:
    """Run a command and show it; its failure ends the check.

    The folder of this interpreter leaves PATH, and PYTHONPATH goes: nothing of the checkout helps out.
    """
    print("$", *command, flush=True)
    own = Path(sys.executable).parent
    search = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if Path(folder) != own]
    environment = {name: value for name, value in os.environ.items() if name not in _OF_THE_CHECKOUT}
    subprocess.run(command, cwd=cwd, check=True, timeout=1200, env=environment | {"PATH": os.pathsep.join(search)})


def packaged_files() -> set[str]:
    """The names that the wheel must hold: every file of the package that is no cache."""
    roots = {REPOSITORY / "src" / "ranvier": "ranvier"}
    roots |= {REPOSITORY / folder: f"ranvier/{folder}" for folder in FOLDERS}
    return {
        f"{prefix}/{path.relative_to(root).as_posix()}"
        for root, prefix in roots.items()
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def main() -> None:
    """Run the check in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", required=True, help="the requirement that pins torch")
    torch: str = parser.parse_args().torch
    with tempfile.TemporaryDirectory(prefix="ranvier-wheel-") as name:
        work = Path(name)
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", work / "dist", REPOSITORY)
        (wheel,) = (work / "dist").glob("*.whl")
        if missing := packaged_files() - set(zipfile.ZipFile(wheel).namelist()):
            sys.exit("the wheel lacks:\n  " + "\n  ".join(sorted(missing)))
        run(sys.executable, "-m", "venv", work / "clean")
        python = work / "clean" / "bin" / "python"
        pip = (python, "-m", "pip", "install", "-qq", "--constraint", REPOSITORY / "constraints.txt")
        run(*pip, torch)
        run(*pip, f"{wheel}[demo]")
        elsewhere = work / "elsewhere"
        elsewhere.mkdir()
        run(work / "clean" / "bin" / "ranvier", "demo", cwd=elsewhere)
    print("the wheel is complete and runs the demo")


if __name__ == "__main__":
    main()
