"""``ranvier report --pictures``: one file a picture, in the format that is asked for."""

from pathlib import Path

from support.commands import Run


def test_the_pictures_of_a_program_are_written(run: Run, files: Path) -> None:
    answer = run("report", files / "net.rnv", "--pictures", "shown", "--picture-format", "png", "--json")
    assert answer.code == 0
    assert [Path(path).name for path in answer.json["pictures"]] == [
        "placement.png", "traffic.png", "utilisation.png", "cost.png",
    ]  # fmt: skip
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in answer.json["pictures"])
    plain = run("report", files / "net.rnv", "--pictures", "shown")
    assert "wrote shown/placement.svg" in plain.out
    assert run("report", files / "net.rnv", "--json").json["pictures"] == []
    assert run("report", files / "net.rnv", "--pictures", "p", "--picture-format", "gif", "--json").codes == ["RV470"]
