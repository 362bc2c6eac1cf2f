"""What has no exact merge is refused before any question; what a site cannot answer is refused there, with a reason."""

import numpy as np
import pytest
from nervenet.models.agreement.questions import settle
from nervenet.models.data.data import DataError
from nervenet.models.moments import IncompatibleSites
from nervenet.models.pipeline import encoders
from nervenet.models.pipeline.fit import Fitted, PipelineSite, check_pipeline, fit_questions, transform
from nervenet.models.pipeline.step import NoExactMerge
from nervenet.models.tables.table import GAP, Table
from sites import fitted, pool, rows, table, title
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA, FastICA, TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectFromModel, SelectKBest, VarianceThreshold, f_classif, mutual_info_classif
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.random_projection import GaussianRandomProjection


class Doubled(TransformerMixin, BaseEstimator):
    """A user's own step that learns nothing, and says so, in the words of old and new releases."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return 2 * np.asarray(X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags

    def _more_tags(self):
        return {"requires_fit": False}


class Learns(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self


UNKNOWN_AS_FIRST = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=0)

REFUSED = [
    (KNNImputer(), "KNNImputer has no exact merge over sites; the nearest step that has one is SimpleImputer"),
    (PowerTransformer(), r"QuantileTransformer\(output_distribution='normal'\)"),
    (KBinsDiscretizer(strategy="kmeans"), "strategy='kmeans' has no exact merge; the nearest is strategy='quantile'"),
    (FastICA(), "nearest step that has one is PCA"),
    (SelectFromModel(LogisticRegression()), "nearest step that has one is SelectKBest"),
    (
        SelectKBest(mutual_info_classif),
        "mutual_info_classif has no exact merge; take one of: f_classif, chi2",
    ),
    (SimpleImputer(strategy=np.mean), "take mean, median, most_frequent or constant"),
    (SimpleImputer(missing_values=None), "missing_values=None is not told to sites"),
    (QuantileTransformer(ignore_implicit_zeros=True), "take ignore_implicit_zeros=False"),
    (TfidfVectorizer(), "nearest step that has one is HashingVectorizer"),
    (HashingVectorizer(input="filename"), "input must be 'content'"),
    (RBFSampler(), "random_state must be a whole number"),
    (RBFSampler(random_state=0, gamma="scale"), "gamma='scale'"),
    (OrdinalEncoder(handle_unknown="use_encoded_value"), "unknown_value=None; expected a whole number or nan"),
    (OrdinalEncoder(unknown_value=-1), "unknown_value=-1 is for handle_unknown='use_encoded_value'"),
    (
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, dtype=int),
        "unknown_value=nan is no int64",
    ),
    (GaussianRandomProjection(random_state=0), "n_components='auto' has no exact merge"),
    (LogisticRegression(), "LogisticRegression has no exact merge"),
    (Learns(), "Learns has no exact merge over sites; the nearest step that has one is a FunctionTransformer"),
    (make_pipeline(StandardScaler(), PowerTransformer()), "step 'powertransformer': PowerTransformer"),
    (ColumnTransformer([("a", "drop", [])], remainder=KNNImputer()), "step 'remainder': KNNImputer"),
    (KBinsDiscretizer(n_bins=1), "KBinsDiscretizer: The 'n_bins' parameter"),
    (make_pipeline(StandardScaler), "StandardScaler is a class; write StandardScaler()"),
    ("scale", "step 'scale' is unknown; allowed: passthrough, drop, or a transformer"),
]


@pytest.mark.parametrize(("step", "message"), REFUSED, ids=[title(step)[:50] for step, _ in REFUSED])
def test_a_step_without_an_exact_merge_is_refused_before_any_question(step, message):
    with pytest.raises(NoExactMerge, match=message.replace("()", r"\(\)")):
        check_pipeline(step)
    with pytest.raises(NoExactMerge):
        fit_questions(step, ["a"], ["number"], task=None)


def test_a_step_of_the_users_own_that_learns_nothing_is_taken():
    agreed, exchanges = fitted(make_pipeline(StandardScaler(), Doubled()), ("plain", "ties"))
    whole = table(pool(rows()[0]), ("plain", "ties"))
    scaled = transform(StandardScaler(), fitted(StandardScaler(), ("plain", "ties"))[0], whole)
    assert np.array_equal(transform(make_pipeline(StandardScaler(), Doubled()), agreed, whole), 2 * scaled)
    assert exchanges == 2  # the second: how many outputs it has, since it does not name them


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (ColumnTransformer([("a", StandardScaler(), ["dosis"])]), DataError, r"no column|did you mean dose"),
        (ColumnTransformer([("a", StandardScaler(), [7])]), DataError, "asks for column 7; there are 1"),
        (ColumnTransformer([("a", StandardScaler(), lambda X: [0])]), NoExactMerge, "by a function; name them"),
        (
            make_pipeline(SimpleImputer(), ColumnTransformer([("a", StandardScaler(), make_column_selector())])),
            NoExactMerge,
            "by a selector after another step; name their places",
        ),
        (
            ColumnTransformer([("a", StandardScaler(), make_column_selector(dtype_include="complex"))]),
            NoExactMerge,
            "a table has numbers, text",
        ),
    ],
)
def test_columns_that_are_not_there_are_refused(step, error, message):
    with pytest.raises(error, match=message):
        asked(step, [1.0, 2.0])


def asked(step, values, kind="number", target=None, task=None):
    dtype = {"number": float, "category": object}[kind]
    site = PipelineSite(step, Table(("dose",), (kind,), (np.array(values, dtype),)), target)
    return settle(fit_questions(step, ["dose"], [kind], task=task), {"a": site.answer})


@pytest.mark.parametrize(
    ("step", "values", "kind", "message"),
    [
        (StandardScaler(), [1.0, np.inf], "number", "StandardScaler: row 1, column 'dose': an infinity"),
        (make_pipeline(StandardScaler()), ["a"], "category", r"step 'standardscaler' .* takes numbers, column 'dose'"),
        (PCA(), [1.0, np.nan], "number", "row 1, column 'dose': a gap; expected none; put a SimpleImputer before it"),
        (SelectKBest(f_classif), [1.0, 2.0], "number", "needs a target, and there is none"),
        (make_pipeline(FunctionTransformer(np.matmul), PCA()), [1.0], "number", r"step 'functiontransformer' .*matmul"),
        (
            make_pipeline(OneHotEncoder(), StandardScaler(), PCA()),
            [1.0, 2.0],
            "number",
            "Cannot center sparse matrices",
        ),
        (OneHotEncoder(), ["a", 1.0], "category", "has text and numbers; make them one kind"),
    ],
)
def test_rows_that_a_step_does_not_take_are_refused_at_their_site(step, values, kind, message):
    with pytest.raises(DataError, match=message):
        asked(step, values, kind)


def test_a_column_that_only_identifies_rows_is_not_told(monkeypatch):
    from nervenet.models.pipeline import categories

    monkeypatch.setattr(categories, "MOST_VALUES", 3)
    monkeypatch.setattr(categories, "MOST_TEXT", 8)
    with pytest.raises(DataError, match="its categories are 9 characters; at most 8 are told"):
        asked(OneHotEncoder(), ["first", "last"], "category")
    with pytest.raises(DataError, match=r"column 'dose' has 4 different values; at most 3 are told\. Leave out"):
        asked(OneHotEncoder(), ["a", "b", "c", "d"], "category")


@pytest.mark.parametrize(
    ("step", "values", "kind", "message"),
    [
        (KBinsDiscretizer(), [np.nan], "number", "column 'dose' has no values at any site"),
        (KBinsDiscretizer(2), [0.0, 1e-9, 2e-9], "number", "no two quantiles that are 1e-8 apart"),
        (PCA(3), [1.0, 2.0], "number", "n_components=3; 2 rows of 1 columns"),
        (TruncatedSVD(2), [1.0, 2.0], "number", "n_components=2; 2 rows of 1 columns"),
        (VarianceThreshold(), [1.0, 1.0], "number", "no column has a variance above 0"),
        (OneHotEncoder(categories=[["a"]]), ["a", "b"], "category", "has 'b', which is not among its categories"),
        (OrdinalEncoder(categories=[["a"], ["b"]]), ["a"], "category", "lists categories of 2 columns, has 1"),
        (
            UNKNOWN_AS_FIRST,
            ["a", "b"],
            "category",
            "unknown_value=0 is the code of a category; those of column 1 are 0 to 1",
        ),
        (OrdinalEncoder(encoded_missing_value=1), ["a", "b", GAP], "category", "encoded_missing_value=1 is the code"),
        (OrdinalEncoder(dtype=int), ["a", "b", GAP], "category", "encoded_missing_value=nan is no int64"),
        (OneHotEncoder(drop=["z"]), ["a", "b"], "category", "OneHotEncoder cannot be fitted: The following categories"),
        (MinMaxScaler((1, 0)), [1.0, 2.0], "number", "MinMaxScaler cannot be fitted: Minimum of desired feature range"),
    ],
)
def test_what_no_fit_comes_of_is_refused(step, values, kind, message):
    with pytest.raises(IncompatibleSites, match=message):
        asked(step, values, kind)


@pytest.mark.parametrize("code", [-1, 2, np.nan])
def test_a_code_that_no_category_has_tells_what_is_unknown(code):
    told = asked(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=code), ["a", "b"], "category")
    assert told.states[""]["categories"] == [["a", "b"]]
    taken = asked(OrdinalEncoder(encoded_missing_value=code), ["a", "b", GAP], "category")
    assert taken.states[""]["categories"] == [["a", "b", None]]


def test_without_the_refusal_what_is_unknown_would_be_the_first_category(monkeypatch):
    monkeypatch.setattr(encoders, "_check_codes", lambda step: None)
    fitted = asked(UNKNOWN_AS_FIRST, ["a", "b"], "category")
    strange = Table(("dose",), ("category",), (np.array(["a", "z"], object),))
    assert transform(UNKNOWN_AS_FIRST, fitted, strange).ravel().tolist() == [0.0, 0.0]


def test_what_is_too_much_for_a_question_or_an_answer_is_refused(monkeypatch):
    from nervenet.models.pipeline import decomposition, fit

    monkeypatch.setattr(fit, "MOST_LEARNED", 5)
    with pytest.raises(IncompatibleSites, match=r"before step 'pca' .* have learned 9 values; .* at most 5"):
        asked(make_pipeline(QuantileTransformer(n_quantiles=9, subsample=None), PCA()), np.arange(9.0))
    monkeypatch.setattr(decomposition, "MOST_COLUMNS", 0)
    with pytest.raises(IncompatibleSites, match="PCA has 1 columns; factors are told of at most 0"):
        asked(PCA(), [1.0, 2.0])


def test_one_class_at_all_sites_together_is_refused():
    for step, kind, values in ((TargetEncoder(), "category", ["a", "b"]), (SelectKBest(f_classif), "number", [1, 2])):
        with pytest.raises(IncompatibleSites, match="needs two classes; all sites together have 1"):
            asked(step, values, kind, np.zeros(2, int), "classification")


def test_a_site_with_another_pipeline_says_so():
    question = next(fit_questions(StandardScaler(), ["dose"], ["number"], task=None))
    rows_of_site = Table(("dose",), ("number",), (np.arange(3.0),))
    with pytest.raises(DataError, match="step '' is a PCA at this site, others have a StandardScaler"):
        PipelineSite(PCA(), rows_of_site).answer(question)
    with pytest.raises(DataError, match="the pipeline of this site has no step 'scale'"):
        PipelineSite(make_pipeline("passthrough"), rows_of_site).answer({**question, "step": "scale"})
    with pytest.raises(DataError, match="nothing was learned of step 'standardscaler'"):
        PipelineSite(make_pipeline(StandardScaler(), PCA()), rows_of_site).answer({**question, "step": "pca"})
    with pytest.raises(IncompatibleSites, match="is about the part 'modes', which this version does not know"):
        PipelineSite(StandardScaler(), rows_of_site).answer({**question, "part": "modes"})


def test_values_that_are_not_listed_are_left_out_of_the_encodings():
    """scikit-learn 1.5 to 1.9 counts them among those of the first category that is listed."""
    agreed = asked(
        TargetEncoder([["a", "b"]], smooth=0.0), list("abcc"), "category", np.array([0, 1, 5, 7.5]), "regression"
    )
    assert agreed.states[""]["encodings"] == [[0.0, 1.0]]


@pytest.mark.parametrize("fields", [{}, {"columns": ["a"]}, {"columns": 1, "kinds": [], "states": {}, "names": []}])
def test_what_is_no_fitted_pipeline_is_refused(fields):
    with pytest.raises(IncompatibleSites, match="not a fitted pipeline"):
        Fitted.from_dict(fields)


def test_a_table_of_other_kinds_is_refused():
    agreed = asked(StandardScaler(), [1.0, 2.0])
    other = Table(("dose",), ("category",), (np.array(["a"], object),))
    with pytest.raises(DataError, match="column 'dose' is a category; agreed was a number"):
        transform(StandardScaler(), agreed, other)


def test_an_output_that_is_text_is_refused():
    step = ColumnTransformer([("as is", "passthrough", ["dose"])])
    agreed = asked(step, ["a"], "category")
    with pytest.raises(DataError, match="the output of the pipeline takes numbers, column 'as is__dose' holds others"):
        transform(step, agreed, Table(("dose",), ("category",), (np.array(["a"], object),)))


def opened(tmp_path):
    """Let a model, be it somebody else's, make something of a cell that names a file."""
    file = tmp_path / "secret.txt"
    file.write_text("word")
    step = ColumnTransformer([("w", HashingVectorizer(input="filename", n_features=2), "w")])
    known = Fitted(("w",), ("category",), {"w": {"outputs": 2}}, ("a", "b"))
    return transform(step, known, Table(("w",), ("category",), (np.array([str(file)], object),)))


def test_a_cell_names_no_file_to_open(tmp_path):
    with pytest.raises(IncompatibleSites, match="cells are texts, and name no files"):
        opened(tmp_path)


def test_it_would_be_read_without_the_refusal(tmp_path, monkeypatch):
    monkeypatch.setattr("nervenet.models.pipeline.stateless._Words.refusal", lambda _, step: None)
    assert np.abs(opened(tmp_path)).sum() == 1
