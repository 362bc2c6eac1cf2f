"""What a family of steps supplies, and which family fits a step: by the name of its class, imported when it is met."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple, Protocol

from ..agreement.questions import Questions
from ..data.data import Task

State = dict[str, Any]
"""What was learned of a step: lists, numbers, text, and None for NaN."""


class NoExactMerge(ValueError):
    """A step that cannot be fitted by exact merges; the message names the nearest one that can."""


class Asked(NamedTuple):
    """What the one who asks knows of a step's input."""

    names: tuple[str, ...]  # of its columns
    task: Task | None
    title: str  # of the step, for errors

    @property
    def width(self) -> int:
        return len(self.names)


class ExactStep(Protocol):
    """A family of steps: how the sites agree on what a step learns."""

    def refusal(self, step: Any) -> str | None:
        """Return what about a step's parameters has no exact merge, and what to take instead; None: nothing."""

    def questions(self, step: Any, asked: Asked) -> Questions[State]:
        """Ask all sites, and return the state. Each question has a ``part``, which `parts.tell` answers."""

    def restore(self, step: Any, state: State, width: int) -> Any:
        """Fit `step`, which is unfitted, as `state` says, and return it. It has learned no names of columns."""


FAMILIES = {
    "scalers": "StandardScaler MinMaxScaler MaxAbsScaler",
    "quantile_steps": "RobustScaler QuantileTransformer KBinsDiscretizer SplineTransformer",
    "imputers": "SimpleImputer MissingIndicator",
    "encoders": "OneHotEncoder OrdinalEncoder",
    "target_encoder": "TargetEncoder",
    "selection": "VarianceThreshold SelectKBest SelectPercentile SelectFpr SelectFdr SelectFwe GenericUnivariateSelect",
    "decomposition": "PCA TruncatedSVD",
    "factor_analysis": "FactorAnalysis",
    "stateless": "Normalizer Binarizer PolynomialFeatures FunctionTransformer AdditiveChi2Sampler HashingVectorizer "
    "FeatureHasher RBFSampler SkewedChi2Sampler PolynomialCountSketch GaussianRandomProjection SparseRandomProjection",
}

_HOMES = {name: module for module, names in FAMILIES.items() for name in names.split()}

NEAREST = {
    "SimpleImputer": "KNNImputer IterativeImputer",
    "QuantileTransformer(output_distribution='normal')": "PowerTransformer",
    "SelectKBest": "SelectFromModel RFE RFECV SequentialFeatureSelector",
    "PCA": "IncrementalPCA KernelPCA SparsePCA MiniBatchSparsePCA FastICA NMF MiniBatchNMF "
    "DictionaryLearning MiniBatchDictionaryLearning LatentDirichletAllocation LinearDiscriminantAnalysis Isomap "
    "NeighborhoodComponentsAnalysis LocallyLinearEmbedding FeatureAgglomeration BernoulliRBM",
    "HashingVectorizer": "CountVectorizer TfidfVectorizer TfidfTransformer DictVectorizer",
    "RBFSampler": "Nystroem KernelCenterer",
    "OneHotEncoder": "LabelBinarizer LabelEncoder MultiLabelBinarizer",
    "KBinsDiscretizer": "KMeans MiniBatchKMeans",
}


def family(step: Any) -> ExactStep:
    """Return the family that fits a step. Raises NoExactMerge if there is none for it, or for its parameters."""
    name = type(step).__name__
    own = type(step).__module__.partition(".")[0] == "sklearn"
    home = _HOMES.get(name) if own else None
    if home is None and not own and _says_stateless(step):
        home, name = "stateless", "FunctionTransformer"
    if home is None:
        nearest = next((near for near, names in NEAREST.items() if name in names.split()), "")
        raise NoExactMerge(
            f"{name} has no exact merge over sites; the nearest step that has one is "
            f"{nearest or 'a FunctionTransformer, which learns nothing from rows'}"
        )
    found: ExactStep = import_module(f".{home}", __package__).FAMILY[name]
    if own:
        try:
            step._validate_params()
        except ValueError as error:
            raise NoExactMerge(f"{name}: {error}") from error
    if refusal := found.refusal(step):
        raise NoExactMerge(f"{type(step).__name__}: {refusal}")
    return found


def _says_stateless(step: Any) -> bool:
    """Whether a class of the user's own declares that its fit learns nothing."""
    from sklearn.base import BaseEstimator

    if hasattr(BaseEstimator, "__sklearn_tags__"):
        return hasattr(step, "__sklearn_tags__") and not step.__sklearn_tags__().requires_fit
    return hasattr(step, "_get_tags") and not step._get_tags()["requires_fit"]  # before 1.6
