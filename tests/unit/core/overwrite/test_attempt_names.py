from __future__ import annotations

import re

import pytest

from airflow_quilt_athena.core.overwrite.attempt_names import Attempt, digest_of
from airflow_quilt_athena.exceptions import InvalidCallError
from tests.unit.lake_examples import ATTEMPT, OTHER_ATTEMPT


def _names(attempt: Attempt) -> list[str]:
    return [
        attempt.name,
        attempt.entry_name,
        str(attempt.temporary_table("db")),
        str(attempt.temporary_table("db", "_slice_1")),
        attempt.token("SELECT 1"),
    ]


def test_two_attempts_of_one_task_share_nothing() -> None:
    assert _names(Attempt("0123456789ab", 1, "1f2e3d4c")) == _names(ATTEMPT)
    assert not set(_names(OTHER_ATTEMPT)) & set(_names(ATTEMPT))


def test_an_attempt_that_comes_again_after_its_entry_was_swept_is_not_answered_with_old_queries() -> None:
    again = Attempt(ATTEMPT.digest, ATTEMPT.number, "99999999")
    assert again.entry_name == ATTEMPT.entry_name
    assert again.token("SELECT 1") != ATTEMPT.token("SELECT 1")
    assert again.name != ATTEMPT.name


def test_the_token_changes_with_the_sql_and_is_of_athenas_length() -> None:
    assert ATTEMPT.token("SELECT 1") != ATTEMPT.token("SELECT 2")
    assert 32 <= len(ATTEMPT.token("SELECT 1")) <= 128


def test_names_are_such_as_glue_and_readers_of_folders_take() -> None:
    assert ATTEMPT.name[0].isalpha()
    assert re.fullmatch(r"[a-z0-9_]{1,255}", ATTEMPT.temporary_table("db", "_slice_12").table)


def test_a_name_is_read_back_and_any_other_text_is_none() -> None:
    assert Attempt.parse(ATTEMPT.name) == ATTEMPT
    assert Attempt.parse("a0123456789ab-12-0f0f0f0f") == Attempt("0123456789ab", 12, "0f0f0f0f")
    for other in ("", "run-1", ATTEMPT.entry_name, ATTEMPT.name + "0", "a0123456789ab-0-1f2e3d4c"):
        assert Attempt.parse(other) is None


def test_a_task_key_has_a_digest_of_its_own() -> None:
    digests = {digest_of(f"dag/task/{index}/run/0") for index in range(1000)}
    assert len(digests) == 1000
    assert all(re.fullmatch("[0-9a-f]{12}", digest) for digest in digests)


@pytest.mark.parametrize("nonce", ["", "1234567", "123456789", "1F2E3D4C", "../../.."])
def test_a_nonce_that_is_none_is_refused(nonce: str) -> None:
    with pytest.raises(InvalidCallError, match="nonce"):
        Attempt("0123456789ab", 1, nonce)
