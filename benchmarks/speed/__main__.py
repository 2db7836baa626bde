"""``python -m benchmarks.speed``: measure, write docs/performance.json, and make the page from it.

``--quick``: smaller networks and few repeats, in three minutes, written to another file and to no page.
``--page``: make the page from the record that is there. ``--only mlp --peers Ranvier Norse``: a part, printed.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.speed import page, record
from benchmarks.speed.run import measured

DOCS = Path(__file__).parents[2] / "docs"
RECORD = DOCS / "performance.json"


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a rehearsal in three minutes")
    parser.add_argument("--page", action="store_true", help="make the page again, measure nothing")
    parser.add_argument("--only", nargs="*", default=[], help="workloads, by the beginning of their names")
    parser.add_argument("--peers", nargs="*", default=[], help="peers by name")
    parser.add_argument("--out", type=Path, help="another file for the record")
    asked = parser.parse_args()
    if asked.page:
        page.write(record.load(asked.out or RECORD), asked.out.parent if asked.out else DOCS)
        return
    whole = not (asked.quick or asked.only or asked.peers or asked.out)
    path = RECORD if whole else asked.out or Path(tempfile.mkdtemp(prefix="ranvier-speed-")) / "performance.json"
    found = measured(asked.quick, asked.only, asked.peers, keep=lambda part: record.save(part, path))
    folder = DOCS if whole else path.parent
    page.write(found, folder)
    print(page.goals_table(found))
    print(f"{path}\n{folder / page.PAGE}")


if __name__ == "__main__":
    main()
