"""The command line: ``ranvier <verb>``, one file per verb, each a thin shell over the function of that name.

| file | holds |
|---|---|
| ``main.py`` | the table of verbs, ``main()``, exit codes |
| ``verbs.py`` | what all verbs share: options in groups, one answer as text or JSON, errors to exit codes |
| ``output.py`` | consoles, progress, diagnostics and JSON on them |
| ``searching.py`` | a search that is shown while it runs and ends early by Ctrl-C |
| ``options.py`` | the groups of options |
| ``sources.py`` | models and data named on the command line |
| ``tables.py`` | reports and verifications as tables |
"""

from ranvier.cli.main import main

__all__ = ["main"]
