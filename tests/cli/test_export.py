"""``ranvier export``: a NIR file, what its reader makes different, and a refusal where it has to be portable."""

from pathlib import Path

import ranvier
from ranvier.compiler.ir.text import equal
from support.commands import Run


def test_a_model_becomes_a_nir_file_that_loads_without_options(run: Run, files: Path) -> None:
    given = ("export", files / "net.nir", "--dt", "1e-3", "--reset", "value", "--json")
    answer = run(*given, "-o", "out.nir")
    assert (answer.code, answer.json["notes"]) == (0, [])
    net = ranvier.load(files / "net.nir", dt=1e-3, reset="value")
    assert equal(ranvier.load("out.nir"), net)
    noted = run(*given, "-o", "sinabs.nir", "--reader", "sinabs")
    assert {note["code"] for note in noted.json["notes"]} == {"RV686"}
    refused = run(*given, "-o", "refused.nir", "--reader", "sinabs", "--portable")
    assert (refused.code, set(refused.codes)) == (1, {"RV686"})
    assert not Path("refused.nir").exists()
    assert run(*given, "-o", "x.h5").codes == ["RV680"]
    assert run(*given, "-o", "x.nir", "--file-dt", "0").codes == ["RV681"]
