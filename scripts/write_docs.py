"""Write what the documentation shows of the code: docs/support.md, and the table in the README (``make docs``)."""

import re
from pathlib import Path

from ranvier.support import support_table
from support.page.support_page import support_page

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(?<=<!-- support -->\n).*?(?=<!-- /support -->)", re.DOTALL)


def main() -> None:
    """Write both files."""
    (ROOT / "docs" / "support.md").write_text(support_page())
    readme = ROOT / "README.md"
    readme.write_text(BLOCK.sub(lambda _: support_table(), readme.read_text()))


if __name__ == "__main__":
    main()
