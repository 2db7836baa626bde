"""The README says what the code does."""

import re
from pathlib import Path

from ranvier.support import support_rows, support_table

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_support_table_is_the_codes_own() -> None:
    (shown,) = re.findall(r"<!-- support -->\n(.*?)<!-- /support -->", README, re.DOTALL)
    assert shown == support_table()


def test_every_row_names_something() -> None:
    assert all(all(cell for cell in row) for row in support_rows())


def test_every_folder_of_the_table_exists() -> None:
    table = README.split("## The folders")[1]
    folders = re.findall(r"^\| `([\w/]+)/` \|", table, re.MULTILINE)
    assert len(folders) >= 9
    assert all((Path(__file__).parents[1] / folder).is_dir() for folder in folders)
