"""Answers of another site are looked at before anything is computed: a bad one is refused, naming the site."""

import contextlib
import warnings
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.models.agreement.questions import Answer, Dialog
from nervenet.models.moments import IncompatibleSites
from nervenet.models.pipeline.fit import PipelineSite, fit_questions
from pipelines import PIPELINES
from sites import kind, rows, table, title
from test_exactness import BY_TARGET, COUNTED, FACTORED, MOMENTS

CASES = [(*case, None) for case in [*MOMENTS, *COUNTED, *FACTORED]] + BY_TARGET + list(PIPELINES.values())
NAMES = [title(step)[:60] for step, *_ in CASES]
ODD = st.sampled_from([-1.0, 0.5, 1e300, -1e300, 2.0**60, 7.0, 0.0, 1e-300])


def asked(step, chosen, target):
    """Each question that is asked, the dialog that is open at it, and honest answers to it."""
    tables, classes, quantities = rows()
    targets = {None: [None] * 7, "classes": classes, "quantities": quantities}[target]
    task = {None: None, "classes": "classification", "quantities": "regression"}[target]
    sites = {
        name: PipelineSite(step, table(tables[k], chosen), targets[k]) for name, k in (("a", 0), ("b", 3), ("c", 1))
    }

    def dialog_at(answers):
        dialog = Dialog(fit_questions(step, chosen, [kind(name) for name in chosen], task=task))
        for honest in answers:
            dialog.take(honest)
        return dialog

    done = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while (dialog := dialog_at(done)).question is not None:
            honest = {name: site.answer(dialog.question) for name, site in sites.items()}
            yield honest, lambda done=tuple(done): dialog_at(done)
            done.append(honest)


def bad_answers(answer):
    vector, fields = answer.vector, dict(answer.fields)
    yield Answer(fields, np.append(vector, 1.0))
    if len(vector):
        yield Answer(fields, vector[:-1])
        yield Answer(fields, np.where(np.arange(len(vector)) == len(vector) - 1, np.nan, vector))
        yield Answer(fields, vector.reshape(1, -1))
    for key in fields:
        yield Answer({name: value for name, value in fields.items() if name != key}, vector)
        yield Answer({**fields, key: [1, None, [{}]]}, vector)
        yield Answer({**fields, key: 7}, vector)


@pytest.mark.parametrize(("step", "chosen", "target"), CASES, ids=NAMES)
def test_an_answer_of_another_shape_is_refused_by_name(step, chosen, target):
    for honest, dialog_at in asked(step, chosen, target):
        for bad in bad_answers(honest["b"]):
            with pytest.raises(IncompatibleSites) as caught:
                dialog_at().take({**honest, "b": bad})
            assert caught.value.site == "b", bad


@cache
def open_dialogs():
    cases = (CASES[0], CASES[8], CASES[29], CASES[-1], *BY_TARGET)
    return [found for case in cases for found in asked(*case)]


@given(st.data())
def test_whatever_numbers_a_site_sends_it_is_taken_or_refused(data):
    honest, dialog_at = data.draw(st.sampled_from(open_dialogs()))
    vector = honest["b"].vector.copy()
    for place in data.draw(st.lists(st.sampled_from(range(len(vector))), max_size=4)) if len(vector) else ():
        vector[place] = data.draw(ODD)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(IncompatibleSites):
            dialog_at().take({**honest, "b": Answer(honest["b"].fields, vector)})
