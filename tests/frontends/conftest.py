"""What several tests of frontends need around them."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def quiet() -> Iterator[None]:
    """Without the warnings that frameworks log, such as about parameters that they do not read."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)
