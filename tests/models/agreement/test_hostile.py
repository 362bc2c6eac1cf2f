"""Whatever another node asks or answers in round 0, it is answered, taken, or refused by name."""

import contextlib
import warnings
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import copied, mutated
from nervenet.models import MLP, SiteModel
from nervenet.models.agreement import asked
from nervenet.models.agreement.asked import MalformedQuestion
from nervenet.models.agreement.questions import Answer, Dialog
from nervenet.models.data.data import DataError
from nervenet.models.describe.questions import DescribeOptions, describe_questions
from nervenet.models.describe.site import SiteDescriber
from nervenet.models.moments import IncompatibleSites
from nervenet.models.tables.table import GAP, Table
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, RobustScaler, StandardScaler, TargetEncoder

MANY = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def rows(seed, count=30):
    """A table of all kinds with gaps, and its target."""
    rng = np.random.default_rng(seed)
    age, dose = rng.normal(50.0, 10.0, count), rng.normal(size=count)
    age[::5] = np.nan
    ward = rng.choice(np.array(["north", "south", f"only-{seed}"], object), count)
    ward[::7] = GAP
    day = np.datetime64("2026-01-01", "s") + rng.integers(0, 10**7, count)
    kinds = ("number", "number", "category", "date")
    return Table(("age", "dose", "ward", "day"), kinds, (age, dose, ward, day)), (dose > 0).astype(int)


def own_pipeline():
    return ColumnTransformer(
        [
            ("fill", make_pipeline(SimpleImputer(strategy="median"), RobustScaler(), PCA(2)), ["age", "dose"]),
            ("bins", KBinsDiscretizer(3, encode="onehot-dense", strategy="uniform"), ["dose"]),
            ("ward", OneHotEncoder(sparse_output=False), ["ward"]),
            ("mean", make_pipeline(TargetEncoder(), StandardScaler()), ["ward"]),
        ]
    )


def site_models(**options):
    return {name: SiteModel(MLP((4,)), *rows(k), **options) for k, name in enumerate("abc")}


def dialogs():
    """Return each dialog as what begins it, and what answers at each site."""
    for options in ({}, {"preprocess": own_pipeline()}):
        sites = site_models(**options)
        yield sites["a"].questions, {name: site.answer for name, site in sites.items()}
    numbers = {
        name: SiteModel(MLP((4,)), np.random.default_rng(k).normal(size=(20, 3)), np.arange(20) % 2)
        for k, name in enumerate("abc")
    }
    yield numbers["a"].questions, {name: site.answer for name, site in numbers.items()}
    describers = {name: SiteDescriber(rows(k)[0]) for k, name in enumerate("abc")}
    yield (
        lambda: describe_questions(DescribeOptions(correlations=True)),
        {n: one.answer for n, one in describers.items()},
    )


@cache
def exchanges():
    """Return every question of every dialog: what answers it at a site, and the dialog, how often it went on before."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for begin, sites in dialogs():
            dialog, history = Dialog(begin()), []
            while dialog.question is not None:
                question = copied(dict(dialog.question))
                answers = {name: answer(question) for name, answer in sites.items()}
                found.append((question, sites["b"], begin, tuple(history), answers))
                history.append(answers)
                dialog.take(answers)
    return found


def ask(answer, question):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return answer(question)


@given(st.data())
@MANY
def test_a_mutated_question_is_answered_or_refused_by_name(data):
    question, answer, *_ = data.draw(st.sampled_from(exchanges()))
    changed = data.draw(mutated(question))
    with contextlib.suppress(IncompatibleSites, DataError):
        assert isinstance(ask(answer, changed), Answer)
    assert isinstance(ask(answer, question), Answer)  # it lives on


@given(st.data())
@MANY
def test_a_mutated_answer_is_taken_or_refused_by_name(data):
    _, _, begin, history, answers = data.draw(st.sampled_from(exchanges()))
    dialog = Dialog(begin())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for before in history:
            dialog.take(before)
        fields = data.draw(mutated(dict(answers["b"].fields)))
        vector = answers["b"].vector.copy()
        for place in data.draw(st.lists(st.sampled_from(range(len(vector))), max_size=2)) if len(vector) else ():
            vector[place] = data.draw(st.sampled_from([-1.0, 0.5, 1e300, 2.0**60, 0.0]))
        with contextlib.suppress(IncompatibleSites, DataError):
            dialog.take({**answers, "b": Answer(fields, vector)})


def first_with(part):
    return next(one for one in exchanges() if one[0].get("part") == part)


def test_a_question_is_refused_by_what_was_found_and_what_is_allowed():
    question, answer, *_ = first_with("ranks")
    with pytest.raises(MalformedQuestion, match="bits is 40; expected one of 1, 2, 4, 8, 16"):
        answer({**question, "bits": 40})
    with pytest.raises(MalformedQuestion, match="has 'x'; allowed: ask, bits, columns, known, min_rows"):
        answer({**question, "x": 1})
    with pytest.raises(MalformedQuestion, match="has no 'known'; expected a whole number below 64"):
        answer({key: value for key, value in question.items() if key != "known"})


def test_else_a_site_would_count_in_a_table_of_a_terabyte(monkeypatch):
    question, answer, *_ = first_with("ranks")
    monkeypatch.setattr(asked, "check_fields", lambda *_: None)
    monkeypatch.setattr("nervenet.models.agreement.order_asked.check_fields", lambda *_: None)
    with pytest.raises((MemoryError, ValueError, TypeError)) as caught:
        answer({**question, "columns": 7})
    assert not isinstance(caught.value, IncompatibleSites)
