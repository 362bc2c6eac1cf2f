"""Where the peers' models lie, in two dimensions that show most of how they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ..results.round_metrics import Sketch

Points = dict[str, tuple[float, float]]


def project(sketches: Mapping[str, Sketch], before: Points) -> Points:
    """Return the first two principal components of sketches by peer; the axes' signs are those that move peers least.

    Sketches that are not as long as most are, or hold what is no finite number, are left out.
    """
    import numpy as np  # which a view of a federated run does not need

    lengths = Counter(map(len, sketches.values()))
    length = max(lengths, key=lengths.__getitem__, default=0)
    if length < 2 or lengths[length] < 2:
        return {}
    found = sorted(name for name, sketch in sketches.items() if len(sketch) == length)
    X = np.asarray([sketches[name] for name in found], dtype=np.float64)
    scale = float(np.abs(X).max(initial=0.0))
    if not np.isfinite(scale) or scale == 0.0:
        return dict.fromkeys(found, (0.0, 0.0)) if scale == 0.0 else {}
    X = X / scale  # so that no square overflows
    X = X - X.mean(axis=0)
    _, vectors = np.linalg.eigh(X.T @ X)
    points = X @ vectors[:, [-1, -2]]
    known = [index for index, name in enumerate(found) if name in before]
    if known:
        was = np.asarray([before[found[index]] for index in known])
        points = points * np.where((points[known] * was).sum(axis=0) < 0, -1.0, 1.0)
    points = points * scale
    return {name: (float(x), float(y)) for name, (x, y) in zip(found, points, strict=True)}
