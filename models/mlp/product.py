"""Matrix products for one batch size, cut so that BLAS multiplies small ones without repacking the weights."""

import numpy as np

from ..weights import Array

UNPACKED = 1_000_000
"""Multiply-adds up to which OpenBLAS takes its kernels for small matrices, which read the operands where they lie."""

MOST_PIECES = 4
"""Cut further than this, the additions cost what the kernels gain."""


class Product:
    """``A W`` for A of `rows` rows, into a buffer.

    A thin batch against a wide weight matrix lies just above the size that OpenBLAS multiplies in place, and repacking
    the weights then takes longer than the product. Summed over two to four parts of the inner dimension it is in reach
    again: 10 x 784 by 784 x 200 takes 35 µs for 57 (OpenBLAS 0.3, x86-64). The cut depends on the shapes alone, so the
    bits do too.
    """

    def __init__(self, rows: int, W: Array) -> None:
        inner, outer = W.shape
        pieces = -(-rows * inner * outer // UNPACKED)
        if pieces > MOST_PIECES or pieces > inner:
            pieces = 1
        width = -(-inner // pieces)
        self.first, self.width = W[:width], width
        self.rest = [(slice(i, i + width), W[i : i + width]) for i in range(width, inner, width)]
        self.part = np.empty((rows if self.rest else 0, outer), W.dtype)

    def __call__(self, A: Array, out: Array) -> None:
        if not self.rest:
            np.dot(A, self.first, out=out)
            return
        np.dot(A[:, : self.width], self.first, out=out)
        for columns, W in self.rest:
            np.dot(A[:, columns], W, out=self.part)
            np.add(out, self.part, out=out)
