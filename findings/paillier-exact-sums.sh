#!/bin/sh
# phe 1.5.0 (Paillier): the sum of numbers that several sites have encrypted, as in secure aggregation.
#
# Guess: what is decrypted is the sum as floats have it, with its roundings, or with those of a fixed point.
# Seen:  numbers are encrypted as exact integers with an exponent, and none of the additions rounds: the decrypted sum is that
#        of the real numbers, rounded once, whatever the order. It equals math.fsum, and no sum of NumPy: who checks an
#        encrypted average against the plain one must not ask for the same bits.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet phe==1.5.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import math
from functools import reduce
from importlib.metadata import version
from operator import add

import numpy as np
from phe import paillier

print("phe", version("phe"))
public, private = paillier.generate_paillier_keypair(n_length=1024)


def decrypted(values):
    return private.decrypt(reduce(add, (public.encrypt(float(value)) for value in values)))


rng = np.random.default_rng(0)
cases = {"1e16 + 1 - 1e16 + 1": [1e16, 1.0, -1e16, 1.0], "ten times 0.1": [0.1] * 10, "60 weights": rng.normal(size=60)}
exact = True
for name, values in cases.items():
    found, backwards = decrypted(values), decrypted(values[::-1])
    print(f"{name}: encrypted {found!r}, fsum {math.fsum(values)!r}, one after another {float(sum(values))!r}")
    exact = exact and found == backwards == math.fsum(values)
if not exact:
    raise SystemExit("changed: the sum of encrypted numbers is not the exact sum, rounded once")
PYTHON
