"""The built-in network as a fitted MLPClassifier or MLPRegressor, whose mathematics it shares."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..mlp.mlp import MLP

ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
"""Of scikit-learn's networks."""


def plain_network(network: MLP) -> Any:
    """Return a fitted estimator with the network's weights, in their own dtype; a classifier's classes are indices.

    Its parameters are the network's, so that `partial_fit` goes on as the network would. Raises ValueError:
    scikit-learn has no such activation.
    """
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    if network.activation not in ACTIVATIONS:
        raise ValueError(f"activation {network.activation!r}: scikit-learn's networks have {', '.join(ACTIVATIONS)}")
    classes, optimizer = network.n_classes, network.optimizer
    made = (MLPRegressor if classes is None else MLPClassifier)(
        hidden_layer_sizes=network.hidden,
        activation=network.activation,
        solver="adam" if optimizer == "adam" else "sgd",
        learning_rate_init=network.learning_rate,
        momentum=0.0 if optimizer == "sgd" else network.momentum,
        nesterovs_momentum=optimizer == "nesterov",
        alpha=(1.0 if classes is None else 1e-4) if network.l2 is None else network.l2,
    )
    row = np.zeros((1, network.n_features), network.dtype)  # scikit-learn itself makes what belongs to the arrays
    if classes is None:
        made.partial_fit(row, np.zeros(1, network.dtype))
    else:
        made.partial_fit(row, np.zeros(1, np.int64), classes=np.arange(classes))
    arrays = network.layout.views(network.get_weights())
    depth = len(made.coefs_)
    made.coefs_ = [arrays[f"weight.{layer}"].copy() for layer in range(depth)]
    made.intercepts_ = [arrays[f"bias.{layer}"].copy() for layer in range(depth)]
    made.n_iter_, made.t_ = 0, 0
    return made
