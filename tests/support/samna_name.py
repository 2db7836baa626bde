"""Names in place of samna, the driver of SynSense's boards, which no package index has: enough to import what asks for
it.

Nothing that a test uses may call it; what does would return a mock, which no comparison with numbers accepts.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from unittest.mock import MagicMock

NAMES = ("samna", "samnagui")


class _Names(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        return ModuleSpec(fullname, self, is_package=True) if fullname.partition(".")[0] in NAMES else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return MagicMock(name=spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


def stand_in() -> None:
    """Let every import of samna succeed, in this process; a samna that is installed goes first."""
    sys.meta_path.append(_Names())
