"""Ridge and RidgeCV from the sums of the normal equations."""

from __future__ import annotations

import numpy as np

from ...weights import Array
from ..statistics import Arrays, Block, Shapes
from ..sums import covariance, second_moments, symmetric, triangle, upper
from .linear import LeastSquaresAdapter, normal_equations, shortest

DIRECT = "the normal equations of all rows are solved directly"
SCORES = (None, "r2", "neg_mean_squared_error", "neg_root_mean_squared_error")


class RidgeAdapter(LeastSquaresAdapter):
    """Ridge: whatever its solver, the coefficients are those that the iterative ones approach."""

    idle = dict.fromkeys(("copy_X", "max_iter", "tol", "solver", "random_state"), DIRECT)

    def refusal(self) -> tuple[str, str] | None:
        if self.given.positive:
            return (
                "positive",
                "scikit-learn stops near that minimum; LinearRegression(positive=True) reaches its own",
            )
        if np.size(self.given.alpha) > 1:
            return "alpha", "there is one target, and so one alpha"
        return None

    def finish(self, parameters: Arrays, sums: Arrays) -> None:
        self.set_line(self.ridge(float(np.ravel(self.given.alpha)[0]), sums), sums)
        self.working.n_iter_, self.working.solver_ = None, "cholesky"

    def ridge(self, alpha: float, sums: Arrays) -> Array:
        """Return the coefficients, shape (columns,)."""
        A, c = normal_equations(sums, self.n_features, intercept=self.given.fit_intercept)
        if alpha == 0:
            return shortest(A, c)[0]
        A = A + np.diag(np.full(self.n_features, alpha / float(sums["weight"][0])))
        scale = np.sqrt(np.diag(A))
        found: Array = np.linalg.solve(A / np.outer(scale, scale), c / scale) / scale
        return found


class RidgeCVAdapter(RidgeAdapter):
    """RidgeCV with `cv` folds: the sums of each fold, of which all folds but one train and one tests.

    Row i of a site is in fold i mod `cv`: what comes of it is what scikit-learn makes of a PredefinedSplit that says
    so. Its own default, to leave out each row once, asks how far each row is from all others, and no sum tells that.
    """

    capabilities = frozenset()
    idle = dict.fromkeys(("gcv_mode",), "it is for cv=None, which is refused here")

    def refusal(self) -> tuple[str, str] | None:
        given = self.given
        if not isinstance(given.cv, int) or given.cv < 2:
            return (
                "cv",
                "to leave out each row once is no sum over rows; give a number of folds, such as 5",
            )
        if given.scoring not in SCORES:
            return "scoring", f"only {', '.join(map(str, SCORES))} follow from sums over rows"
        if given.alpha_per_target:
            return "alpha_per_target", "there is one target, and so one alpha"
        for name in ("store_cv_results", "store_cv_values"):
            if getattr(given, name, False) is True:
                return name, "what is left of single rows is not told"
        return None

    def statistic_shapes(self, n_features: int, n_classes: int | None) -> Shapes:
        folds, width = self.given.cv, n_features + 1
        return {"fold_rows": (folds,), "sum": (folds, width), "product": (folds, triangle(width))}

    def statistics(self, block: Block, parameters: Arrays) -> Arrays:
        shapes = self.statistic_shapes(self.n_features, None)
        found, folds = {name: np.zeros(shape) for name, shape in shapes.items()}, self.given.cv
        rows = np.column_stack([block.X, block.y])
        for fold in range(folds):
            own = rows[(fold - block.first) % folds :: folds]
            if len(own):
                first, second = second_moments(own, np.ones(len(own)))
                found["fold_rows"][fold], found["sum"][fold], found["product"][fold] = len(own), first, upper(second)
        return found

    def finish(self, parameters: Arrays, sums: Arrays) -> None:
        working, alphas = self.working, np.ravel(self.given.alphas)
        scores = [np.mean([self.score(alpha, sums, fold) for fold in range(self.given.cv)]) for alpha in alphas]
        best = int(np.argmax(scores))
        working.alpha_, working.best_score_ = alphas[best], float(scores[best])
        together = over(sums, np.ones(self.given.cv, np.bool_))
        self.set_line(self.ridge(float(alphas[best]), together), together)

    def score(self, alpha: float, sums: Arrays, fold: int) -> float:
        """Return how well the other folds predict one of them."""
        tested = np.arange(self.given.cv) == fold
        train, test = over(sums, ~tested), over(sums, tested)
        n = float(test["weight"][0])
        check_rows(f"RidgeCV with cv={self.given.cv}", fold, n, float(train["weight"][0]))
        coef = self.ridge(float(alpha), train)
        away = np.append(-coef, 1.0)  # times a row and its target, what is left of the target but for the intercept
        intercept = float(away @ train["sum"] / train["weight"][0]) if self.given.fit_intercept else 0.0
        spread = covariance(n, test["sum"], symmetric(test["product"], self.n_features + 1))
        error = float(away @ spread @ away + (away @ test["sum"] / n - intercept) ** 2)
        if self.given.scoring == "neg_mean_squared_error":
            return -error
        if self.given.scoring == "neg_root_mean_squared_error":
            return -float(np.sqrt(error))
        return 1 - error / spread[-1, -1] if spread[-1, -1] else float(error == 0)


def check_rows(what: str, fold: int, tested: float, trained: float) -> None:
    """Raise ValueError where a fold has no row, or all of them."""
    if tested < 0.5:
        raise ValueError(f"{what}: no row of any site is in fold {fold}")
    if trained < 0.5:
        raise ValueError(f"{what}: all rows of all sites are in fold {fold}; row i of a site is in fold i mod cv")


def over(sums: Arrays, folds: Array) -> Arrays:
    """Return the sums of some folds together, under the names that one sum of all has."""
    rows = np.atleast_1d(sums["fold_rows"][folds].sum())
    return {"rows": rows, "weight": rows} | {name: sums[name][folds].sum(axis=0) for name in ("sum", "product")}
