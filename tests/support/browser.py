"""A headless Chromium, if there is one: what a page prints to its console, its state, and a picture of it."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CONSOLE = re.compile(r":CONSOLE[^]]*\] \"(.*)\"")
SCHEMES = {"dark": "0", "light": "1"}


@dataclass(frozen=True)
class Visit:
    """What the page said (``console``) and is once drawn (``dom``)."""

    console: tuple[str, ...]
    dom: str


def visit(page: Path, folder: Path, scheme: str = "light", picture: Path | None = None) -> Visit:
    """Open ``page`` offline in light or dark; skips the test where no Chromium is installed."""
    browser = next((found for name in NAMES if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium: apt-get install chromium")
    command = [
        browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}", f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
        "--proxy-server=127.0.0.1:1", "--virtual-time-budget=30000", "--window-size=1200,2400",
        *([f"--screenshot={picture}"] if picture else ["--dump-dom"]), page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=180)
    return Visit(tuple(CONSOLE.findall(done.stderr)), done.stdout)
