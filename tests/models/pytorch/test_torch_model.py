"""A PyTorch module as a model: what travels, what stays, and what training is asked for. Run by `make test-torch`."""

from functools import partial

import numpy as np
import pytest
from nervenet.models import LocalWork, SiteModel, generator
from nervenet.models.agreement.questions import settle
from nervenet.models.model import LocalUnsupported
from nervenet.models.registry import describe, rebuild

torch = pytest.importorskip("torch")

from nervenet.models import TorchModel  # noqa: E402
from torch import nn  # noqa: E402

WORK = LocalWork(epochs=2, batch_size=8)


def network(columns, classes):
    return nn.Sequential(
        nn.Linear(columns, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, classes or 1)
    )


class Small(TorchModel):
    def __init__(self, width: int = 5):
        self.width = width
        super().__init__(self.make, optimizer=partial(torch.optim.Adam, lr=0.01))

    def make(self, columns, classes):
        return nn.Sequential(nn.Linear(columns, self.width), nn.Tanh(), nn.Linear(self.width, classes or 1))


def rows(classes=3, n=40):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4)).astype(np.float32)
    y = rng.integers(classes, size=n) if classes else (X[:, 0] * 2).astype(np.float32)
    return X, y


def built(model, classes=3):
    model.build(4, classes, generator(0, "init"))
    return model


def trained(model, classes=3, work=WORK, **further):
    model.fit(*rows(classes), work, generator(1, "batches"), lambda: False, **further)
    return model.get_weights()


@pytest.mark.parametrize("module", [network, network(4, 3)], ids=["a function", "a module"])
def test_the_same_seed_makes_the_same_weights_and_the_same_training(module):
    program = torch.random.get_rng_state()
    one, other = built(TorchModel(module)), built(TorchModel(module))
    np.testing.assert_array_equal(one.get_weights(), other.get_weights())
    first = trained(one)
    assert not np.array_equal(first, other.get_weights())
    np.testing.assert_array_equal(first, trained(other))  # with dropout
    assert torch.equal(program, torch.random.get_rng_state())  # the program's own random numbers go on


def test_integers_stay_and_running_statistics_travel_unless_they_are_local():
    merged, local = built(TorchModel(network)), built(TorchModel(network, batch_norm="local"))
    assert {"1.running_mean", "1.running_var"} <= set(merged.layout.names)
    assert "1.num_batches_tracked" not in merged.layout.names
    assert set(merged.layout.names) - set(local.layout.names) == {"1.running_mean", "1.running_var"}
    trained(local)
    state = local.get_state()
    assert state["kept/1.num_batches_tracked"] == 10
    weights, statistics = local.get_weights(), state["kept/1.running_mean"]
    fresh = built(TorchModel(network, batch_norm="local"))
    fresh.set_weights(weights)
    assert not np.allclose(fresh.get_state()["kept/1.running_mean"], statistics)
    fresh.set_state(state)
    np.testing.assert_array_equal(fresh.predict(rows()[0]), local.predict(rows()[0]))


@pytest.mark.parametrize(("kind", "dtype"), [(torch.bfloat16, "float32"), (torch.float64, "float64")])
def test_other_types_of_numbers(kind, dtype):
    model = built(TorchModel(lambda columns, classes: nn.Linear(columns, classes).to(kind)))
    assert model.dtype == dtype
    weights = trained(model)
    assert weights.dtype == dtype
    model.set_weights(weights)
    np.testing.assert_array_equal(model.get_weights(), weights)  # what has been bfloat16 once is not rounded again


def test_a_step_is_that_of_pytorch():
    model = built(TorchModel(nn.Linear, optimizer=partial(torch.optim.SGD, lr=0.1)))
    start = model.layout.views(model.get_weights())
    weight, bias = (torch.from_numpy(start[name].copy()).requires_grad_() for name in ("weight", "bias"))
    X, y = rows()
    nn.functional.cross_entropy(nn.functional.linear(torch.from_numpy(X), weight, bias), torch.from_numpy(y)).backward()
    expected = {"weight": weight - 0.1 * weight.grad, "bias": bias - 0.1 * bias.grad}
    found = model.layout.views(trained(model, work=LocalWork(local_steps=1, batch_size=40)))
    for name, tensor in expected.items():
        np.testing.assert_allclose(found[name], tensor.detach().numpy(), atol=1e-6)


def test_proximal_terms_corrections_and_weights_change_the_gradient_as_asked():
    def make():
        return built(TorchModel(nn.Linear, optimizer=partial(torch.optim.SGD, lr=0.1)))

    one_step = LocalWork(local_steps=1, batch_size=40)
    plain = trained(make(), work=one_step)
    correction = np.full(15, 0.5, np.float32)
    np.testing.assert_allclose(trained(make(), work=one_step, correction=correction), plain - 0.05, atol=1e-6)
    alike = np.ones(40)
    np.testing.assert_allclose(trained(make(), work=one_step, sample_weight=alike), plain, atol=1e-6)
    # Two steps, of which the second is pulled back to the start by μ = 10 times the rate: to it.
    start, two = make().get_weights(), LocalWork(local_steps=2, batch_size=40)
    near = trained(make(), work=LocalWork(local_steps=2, batch_size=40, proximal=5.0))
    assert np.linalg.norm(near - start) < np.linalg.norm(trained(make(), work=two) - start)


def test_what_an_optimizer_holds_is_carried_on():
    work = LocalWork(epochs=1, batch_size=8, carry_optimizer=True)
    whole, broken_off = built(Small()), built(Small())
    for model in (whole, broken_off):
        trained(model, work=work)
    resumed = built(Small())
    resumed.set_weights(broken_off.get_weights())
    resumed.set_state(broken_off.get_state())
    assert "optimizer/0/exp_avg" in broken_off.get_state()
    assert not [name for name in broken_off.get_state(moments=False) if name.startswith("optimizer")]
    np.testing.assert_array_equal(trained(whole, work=work), trained(resumed, work=work))


def test_a_class_of_ones_own_is_described_by_its_parameters():
    model = Small(width=7)
    assert describe(model)["parameters"] == {"width": 7}
    assert rebuild(describe(model), Small).width == 7
    with pytest.raises(ValueError, match="no parameter 'depth'; allowed are width"):
        rebuild({"name": "small", "parameters": {"depth": 1}}, Small)


def test_a_module_that_does_not_fit_the_columns_or_classes_is_refused():
    with pytest.raises(ValueError, match="cannot take 4 columns"):
        built(TorchModel(nn.Linear(9, 3)))
    with pytest.raises(ValueError, match=r"returns the shape \(1, 2\) for one row; \(1, 3\) is needed"):
        built(TorchModel(nn.Linear(4, 2)))
    with pytest.raises(ValueError, match="batch_norm is 'keep'; merge and local are allowed"):
        TorchModel(network, batch_norm="keep")


def test_it_learns_numbers_and_classes():
    for classes in (None, 2):
        X, y = rows(classes=None, n=200)
        target = y if classes is None else (y > 0).astype(np.int64)
        model = SiteModel(
            TorchModel(network if classes else lambda columns, _: nn.Linear(columns, 1)), X, target, holdout=0.2
        )
        agreed = settle(model.questions(), {"here": model.answer})
        model.build(agreed.preprocessing, 0)
        model.train(LocalWork(epochs=20), generator(0, "here", 1))
        assert model.evaluate("holdout")["accuracy" if classes else "r2"] > 0.8


def check_a_loss_without_rows_takes_no_weights():
    model = built(TorchModel(network, loss=nn.functional.cross_entropy))
    trained(model)
    with pytest.raises(LocalUnsupported, match=r"returns the shape \(\) for 8 rows.*reduction='none'"):
        trained(model, sample_weight=np.arange(1.0, 41.0) / 20.5)
    by_row = partial(nn.functional.cross_entropy, reduction="none")
    weighted = trained(built(TorchModel(network, loss=by_row)), sample_weight=np.arange(1.0, 41.0) / 20.5)
    assert (weighted != trained(built(TorchModel(network, loss=by_row)))).any()


def test_a_loss_without_rows_takes_no_weights():
    check_a_loss_without_rows_takes_no_weights()


def test_weights_of_rows_would_be_ignored_in_silence(monkeypatch):
    step = TorchModel._step
    monkeypatch.setattr(
        TorchModel, "_step", lambda self, optimizer, X, y, weight, pull: step(self, optimizer, X, y, None, pull)
    )
    with pytest.raises(pytest.fail.Exception):
        check_a_loss_without_rows_takes_no_weights()


def check_a_last_batch_of_one_row_is_left_out_of_its_epoch():
    model = built(TorchModel(network))
    report = model.fit(*rows(n=17), WORK, generator(1, "batches"), lambda: False)
    assert (report.steps, report.examples) == (4, 17)
    assert np.isfinite(report.loss)


def test_a_last_batch_of_one_row_is_left_out_of_its_epoch():
    check_a_last_batch_of_one_row_is_left_out_of_its_epoch()


def test_a_batch_normalization_would_refuse_a_last_batch_of_one_row(monkeypatch):
    monkeypatch.setattr("nervenet.models.pytorch.torch_model._NormBase", ())
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        check_a_last_batch_of_one_row_is_left_out_of_its_epoch()
