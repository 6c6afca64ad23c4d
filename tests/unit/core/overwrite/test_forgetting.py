"""Which entries of the journal a sweep may forget, and what must be forgotten before them."""

from __future__ import annotations

from datetime import timedelta

from airflow_quilt_athena.core.overwrite.forgetting import Forgetting, Removal
from airflow_quilt_athena.core.overwrite.history import Pointer, find_newest
from tests.unit.core.overwrite.test_sweep_plan import attempt, flip, folder, published, where
from tests.unit.lake_examples import NOON

OLD = published(1, flip(1))
NEW = published(2, flip(2, before=1), at=NOON + timedelta(minutes=1))
ELSEWHERE = Pointer("s3://lake/elsewhere/")
AT_OLD = Pointer(where(flip(1)), attempt(1).name)


def forgetting(pointer: Pointer) -> Forgetting:
    return Forgetting(
        entries={one.name: one for one in (OLD, NEW)},
        pointers={("1",): pointer},
        current=frozenset({pointer.location or ""}),
        newest=find_newest([OLD, NEW]),
        published={("1",): [(OLD.name, where(flip(1))), (NEW.name, where(flip(2)))]},
        now=NOON + timedelta(hours=2),
        wanted=lambda values: True,
    )


def removal(of: int, *, forgets: bool) -> Removal:
    return Removal(OLD if of == 1 else NEW, (folder(of),), whole=True, forgets=forgets)


def test_the_newest_is_not_forgotten_while_an_older_one_would_be_taken_for_it() -> None:
    (kept,) = forgetting(ELSEWHERE).finish([removal(2, forgets=True)])
    assert (kept.folders, kept.forgets) == ((folder(2),), False)


def test_the_newest_is_forgotten_after_the_older_ones() -> None:
    old, new = forgetting(ELSEWHERE).finish([removal(1, forgets=True), removal(2, forgets=True)])
    assert (old.forgets, old.after) == (True, frozenset())
    assert (new.forgets, new.after) == (True, frozenset({OLD.name}))


def test_the_newest_may_be_forgotten_where_glue_is_as_the_older_one_says() -> None:
    (gone,) = forgetting(AT_OLD).finish([removal(2, forgets=False)])
    assert (gone.forgets, gone.after) == (True, frozenset())


def test_what_says_how_long_a_generation_is_kept_stays_while_that_is_there() -> None:
    (stays,) = forgetting(ELSEWHERE).finish([removal(2, forgets=False)])
    assert not stays.forgets
