#!/bin/sh
# safetensors 0.8.0, safetensors.numpy.save, of arrays that are views of others.
#
# Guess: what is loaded equals what was saved, as with numpy.save and with safetensors 0.7.0; or a view is refused, as
#        torch tensors that are not contiguous are.
# Seen:  the bytes that lie where the view begins are written under the view's shape. Two columns of a table come back
#        as other cells of it; every second weight as the first half of all; a transposed matrix permuted. Nothing is
#        said at either end, and the file is valid. What fits the description without being asked for: `coef_` of
#        LogisticRegression and LinearSVC with three classes or more, which is in Fortran order.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 0.7.0 0.8.0; do
python3 -m venv "$folder/$version"
"$folder/$version/bin/pip" install --quiet safetensors==$version numpy==2.4.6
"$folder/$version/bin/python" -W error - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from safetensors.numpy import load, save

table = np.arange(12.0).reshape(3, 4)
views = {"columns 1 and 2 of 3x4": table[:, 1:3], "every second of 12": table.ravel()[::2], "transposed": table.T}
right = {}
print("safetensors", version("safetensors"))
for name, view in views.items():
    loaded = load(save({"view": view}))["view"]
    right[name] = np.array_equal(loaded, view)
    print(f"  {name}: saved {view.ravel().tolist()}, loaded {loaded.ravel().tolist()}")
if version("safetensors") == "0.7.0":
    assert all(right.values())
elif any(right.values()):
    raise SystemExit("changed: views are saved as they are")
PYTHON
done
