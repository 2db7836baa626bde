"""ReLU networks in torch modules: read exactly, or refused by name; the spiking network comes near to them."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 the name that everybody gives it

import ranvier
from ranvier.conversion import scores
from ranvier.frontends.conversion.evaluate import Evaluator
from ranvier.frontends.conversion.graph import Graph
from ranvier.frontends.conversion.torch_model import read_module

Array = np.ndarray


def samples(*shape: int) -> Array:
    return np.random.default_rng(1).random((64, *shape)).astype(np.float32)


def answers(module: nn.Module, x: Array) -> Array:
    with torch.no_grad():
        return np.asarray(module.eval()(torch.as_tensor(x)).double().numpy())


def same(graph: Graph, module: nn.Module, x: Array) -> None:
    wanted = answers(module, x)
    np.testing.assert_allclose(Evaluator(graph).outputs(x), wanted, atol=1e-5 * max(1.0, np.abs(wanted).max()))


def trained_statistics(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(3)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            for value, low in ((part.running_mean, -0.5), (part.running_var, 0.5), (part.weight, 0.5)):
                assert value is not None
                value.data = low + torch.rand(value.shape, generator=generator)
    return module.eval()


def conv_net() -> nn.Module:
    torch.manual_seed(0)
    return trained_statistics(
        nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3), nn.ReLU6(), nn.AvgPool2d(2), nn.Dropout(), nn.Flatten(),
            nn.Linear(6, 12), nn.BatchNorm1d(12), nn.Hardtanh(0.0, 1.5), nn.Linear(12, 5), nn.LogSoftmax(1),
        )
    )  # fmt: skip


class Residual(nn.Module):
    """Everything in functions: a residual sum, joined channels, a mean over space."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.first, self.second = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.third, self.last = nn.Conv2d(6, 4, 1), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of three classes."""
        a = F.relu(self.first(x))
        b = torch.relu(self.second(a) + a)
        c = F.max_pool2d(torch.cat([a, b], 1), 3, stride=2, padding=1)
        d = self.third(c).clamp(0, 2)
        scored: torch.Tensor = self.last(F.avg_pool2d(d, 2).mean((2, 3)).view(x.size(0), -1))
        return scored


class Quantized(nn.Module):
    """A QCFS activation as trainers write it."""

    def __init__(self, levels: int, ceiling: float) -> None:
        super().__init__()
        self.levels, self.ceiling = levels, nn.Parameter(torch.tensor(ceiling))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The staircase."""
        y = torch.clamp(x / self.ceiling, 0, 1)
        return torch.floor(y * self.levels + 0.5) / self.levels * self.ceiling


@pytest.mark.parametrize(("make", "shape"), [(conv_net, (2, 10, 10)), (Residual, (1, 8, 8))])
def test_a_module_is_read_as_it_computes(make: type[nn.Module], shape: tuple[int, ...]) -> None:
    module, x = make(), samples(*shape)
    graph = read_module(module, x[:4])
    found, wanted = Evaluator(graph).outputs(x), answers(module, x)
    if make is conv_net:  # scores up to the log-softmax
        found = found - np.log(np.exp(found).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(("make", "shape"), [(conv_net, (2, 10, 10)), (Residual, (1, 8, 8))])
@pytest.mark.parametrize("per_channel", [False, True])
def test_spike_counts_approach_the_module(make: type[nn.Module], shape: tuple[int, ...], per_channel: bool) -> None:
    module, x = make(), samples(*shape)
    net = ranvier.convert(module, calibrate=x, percentile=100, per_channel=per_channel)
    wanted = Evaluator(read_module(module, x[:4])).outputs(x)
    off = []
    for steps in (16, 256):
        found = scores(net, x, steps)
        off.append(np.abs(found - wanted).mean() / wanted.std())
    assert off[1] < 0.05
    assert off[1] < off[0] / 4


def test_a_quantized_network_needs_no_calibration_and_is_met_in_its_own_levels() -> None:
    torch.manual_seed(5)
    module = nn.Sequential(nn.Linear(6, 20), Quantized(8, 0.7), nn.Linear(20, 4)).eval()
    x = samples(6)
    graph = read_module(module, x[:4])
    (activation,) = graph.activations
    assert (activation.kind, activation.levels) == ("quantized", 8)
    assert activation.ceiling == pytest.approx(0.7)
    net = ranvier.convert(module, calibrate=None, sample=x[:4])
    found = scores(net, x, 8)
    np.testing.assert_allclose(found, answers(module, x), atol=1e-4)


def test_uncalibrated_conversion_is_refused() -> None:
    with pytest.raises(ranvier.RanvierError, match="RV664"):
        ranvier.convert(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), calibrate=None)


@pytest.mark.parametrize(
    ("layer", "code", "named"),
    [
        (nn.Sigmoid(), "RV666", "Sigmoid"),
        (nn.LeakyReLU(0.1), "RV666", "LeakyReLU"),
        (nn.LayerNorm(4), "RV666", "LayerNorm"),
        (nn.Identity(), "RV668", "no activation"),
    ],
)
def test_what_spikes_cannot_carry_is_refused_by_name(layer: nn.Module, code: str, named: str) -> None:
    module = nn.Sequential(nn.Linear(3, 4), layer, nn.Linear(4, 2))
    with pytest.raises(ranvier.RanvierError) as refused:
        ranvier.convert(module, calibrate=samples(3))
    (found,) = refused.value.diagnostics
    assert found.code == code
    assert named in found.message


def test_all_problems_are_named_at_once_with_their_lines() -> None:
    class Bad(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = torch.sigmoid(self.fc(x)) * self.fc(x)
            return made

    with pytest.raises(ranvier.RanvierError) as refused:
        ranvier.convert(Bad(), calibrate=samples(3))
    assert [d.code for d in refused.value.diagnostics] == ["RV666", "RV666"]
    assert all("test_modules.py:" in d.place for d in refused.value.diagnostics)


def test_a_sum_with_a_factor_is_refused() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.add(x, torch.relu(self.fc(x)), alpha=2)

    with pytest.raises(ranvier.RanvierError, match=r"RV666 test_modules\.py:"):
        ranvier.convert(Scaled(), calibrate=samples(3))


def test_the_accuracy_after_some_steps_is_that_of_a_run_so_long() -> None:
    torch.manual_seed(4)
    module = nn.Sequential(nn.Linear(6, 24, bias=False), nn.ReLU(), nn.Linear(24, 5, bias=False))
    x = np.random.default_rng(0).normal(size=(100, 6))
    net = ranvier.convert(module, calibrate=x)
    labels = scores(net, x, 3).argmax(axis=1)
    found = ranvier.accuracy_by_steps(net, x, labels, steps=(1, 3, 40))
    assert list(found) == [1, 3, 40]
    assert found[3] == 1.0
    for steps in (1, 40):
        assert found[steps] == (scores(net, x, steps).argmax(axis=1) == labels).mean() < 1.0


def test_the_fewest_steps_are_those_from_which_on_the_accuracy_holds() -> None:
    accuracies = {4: 0.9, 8: 0.95, 16: 0.93, 32: 0.96, 64: 0.97}
    assert ranvier.fewest_steps(accuracies, 0.94) == 32
    assert ranvier.fewest_steps(accuracies, 0.9) == 4
    with pytest.raises(ranvier.RanvierError, match="RV675"):
        ranvier.fewest_steps(accuracies, 0.98)


def test_a_silent_layer_and_bad_data_are_refused() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        module[0].bias.fill_(-100.0)
    with pytest.raises(ranvier.RanvierError, match="RV663 1"):
        ranvier.convert(module, calibrate=samples(3))
    with pytest.raises(ranvier.RanvierError, match="RV667"):
        ranvier.convert(module, calibrate=samples(5))
    with pytest.raises(ranvier.RanvierError, match="RV661"):
        ranvier.convert(module, calibrate=np.full((4, 3), np.nan))


def test_the_module_and_the_random_generators_stay_untouched() -> None:
    module = conv_net().train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    torch.manual_seed(9)
    state = torch.get_rng_state()
    ranvier.convert(module, calibrate=samples(2, 10, 10))
    assert module.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
