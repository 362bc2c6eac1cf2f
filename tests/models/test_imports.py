"""What importing costs: a node that trains the built-in MLP loads NumPy and nothing else that is heavy."""

import subprocess
import sys

import nervenet.models
import pytest

HEAVY = ("sklearn", "scipy", "networkx", "matplotlib", "pandas", "pyarrow", "skops", "zmq", "asyncio", "msgpack")


def loaded_after(program):
    """The heavy modules in a fresh interpreter after a program."""
    program += f"\nimport sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.e2e
def test_training_and_evaluating_an_mlp_loads_nothing_heavy():
    assert (
        loaded_after(
            """
import numpy as np
from nervenet.models import MLP, LocalWork, generator
from nervenet.models.registry import as_model, named_model, rebuild
from nervenet.models.aggregate import weighted_mean
from nervenet.models.weights import sketch
from nervenet.models.evaluate import evaluate
model = rebuild(as_model(named_model("mlp", {"hidden": [4]})).describe())
model.build(3, 3, generator(0, "init"))
X, y = np.eye(3, dtype="f"), np.arange(3)
model.fit(X, y, LocalWork(), generator(0), lambda: False)
model.set_weights(weighted_mean([model.get_weights()] * 2, [1, 2]))
evaluate(model, X, y), sketch(model.get_weights(), 0)
from nervenet.models.compress import parse
parse("delta+top-k:0.1+int8+deflate").encode(model.get_weights(), generator(0))
"""
        )
        == []
    )


@pytest.mark.e2e
def test_an_estimator_loads_scikit_learn_so_the_test_above_can_fail():
    program = "from nervenet.models.registry import named_model; named_model('sklearn.linear_model.SGDClassifier', {})"
    assert "sklearn" in loaded_after(program)


@pytest.mark.parametrize("name", nervenet.models.__all__)
def test_every_public_name_is_there(name):
    if name == "TorchModel":
        pytest.importorskip("torch")
    assert getattr(nervenet.models, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        nervenet.models.Nothing  # noqa: B018
