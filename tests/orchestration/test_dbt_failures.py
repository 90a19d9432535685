"""Why a dbt layer fails: a model of itself, or a server or store that was away while a model or a test was at it."""

from __future__ import annotations

import pytest

from lakehouse.dbt.runner import NodeOutcome
from lakehouse.errors import DataError, UnavailableError
from orchestration.assets.dbt_graph import Model
from orchestration.assets.dbt_results import raise_for

MODEL, TEST = "model.lakehouse.dim_batch", "test.lakehouse.unique_dim_batch.1"
STORE_AWAY = "Runtime Error in test\n  IO Error: Could not establish connection error for HTTP GET to 'http://lake'"


def _model() -> Model:
    return Model(MODEL, "dim_batch", "curated", "table", "curated", "dim_batch", source=None, depth=3)


def _outcome(unique_id: str, status: str, message: str = "") -> NodeOutcome:
    return NodeOutcome(unique_id, status, message, 0.1, None, {}, None)


def test_a_test_that_the_store_cut_off_has_the_step_tried_again():
    with pytest.raises(UnavailableError, match=r"1 test\(s\) could not be asked") as raised:
        raise_for([_model()], [_outcome(MODEL, "success"), _outcome(TEST, "error", STORE_AWAY)])
    assert raised.value.transient
    assert "unique_dim_batch: Runtime Error" in str(raised.value)


def test_a_test_that_found_something_is_left_to_its_check():
    raise_for([_model()], [_outcome(MODEL, "success"), _outcome(TEST, "fail", "Got 3 results, configured to fail")])


def test_a_test_whose_sql_is_wrong_is_left_to_its_check():
    raise_for([_model()], [_outcome(MODEL, "success"), _outcome(TEST, "error", "Binder Error: no column batch")])


def test_a_model_that_failed_of_itself_names_what_was_cut_off_too():
    broken = [_outcome(MODEL, "error", "Binder Error: no column batch"), _outcome(TEST, "error", STORE_AWAY)]
    with pytest.raises(DataError, match=r"1 model\(s\) failed. 1 test\(s\) could not be asked") as raised:
        raise_for([_model()], broken)
    assert "dim_batch: Binder Error" in str(raised.value)
    assert not raised.value.transient


def test_a_model_that_the_store_cut_off_is_tried_again():
    with pytest.raises(UnavailableError, match=r"1 model\(s\) failed"):
        raise_for([_model()], [_outcome(MODEL, "error", STORE_AWAY), _outcome(TEST, "skipped")])
