"""The GPU benchmark measures what it says on any device, and prints no figure without a card."""

from typing import Any

import pytest

from ranvier.runtimes.gpu import device

SIZE = (2, 3, 3)


@pytest.fixture
def benchmark_(monkeypatch: pytest.MonkeyPatch) -> Any:
    from benchmarks import gpu  # noqa: PLC0415 - kernels are made for the interpreter that is set

    monkeypatch.setattr(gpu, "REPEATS", 1)
    return gpu


def test_no_figures_without_a_card(
    benchmark_: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(device, "find", lambda: device.Device("cpu", interpreted=True))
    benchmark_.main()
    assert capsys.readouterr().out == "not measured: Triton's interpreter has no speed\n"
    monkeypatch.setattr(device, "find", lambda: None)
    benchmark_.main()
    assert capsys.readouterr().out == "not measured: no CUDA device\n"


def test_measurements_run(benchmark_: Any) -> None:
    found = device.find()
    assert found is not None
    size, name = benchmark_.Size(*SIZE), found.name
    copied = benchmark_.copy_rate(name, 2**16)
    shares = [benchmark_.scan_share(name, size, 32, copied)]
    shares += [benchmark_.product_share(name, size, 32, even=even) for even in (True, False)]
    assert all(share.rate > 0 and share.ruler > 0 for share in shares)
    assert shares[0].ruler == copied


def test_layers_go_through_the_types_they_are_named_for(benchmark_: Any) -> None:
    for even, arithmetic in ((True, "int8"), (False, "float16")):
        chip = benchmark_.layer(32, even)
        assert benchmark_.routes(chip, benchmark_.lower(chip))["c"].arithmetic == arithmetic
