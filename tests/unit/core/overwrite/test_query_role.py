"""What a query is for, as a value: the journal's text of it stays what older entries have."""

from __future__ import annotations

import pytest

from airflow_quilt_athena.core.overwrite.query_role import STAGE, Role, RoleKind

# By the text in the journal: the role, and how its table's name ends.
ROLES = {
    "describe": (Role(RoleKind.DESCRIBE), "_described"),
    "stage": (STAGE, ""),
    "rows": (Role(RoleKind.ROWS), None),
    "count": (Role(RoleKind.COUNT), None),
    "define": (Role(RoleKind.DEFINE), "_defined"),
    "slice-12": (Role(RoleKind.SLICE, 12), "_slice_12"),
    "read-revisions-1": (Role(RoleKind.READ_REVISIONS, 1), "_read_revisions_1"),
    "read-entries-2": (Role(RoleKind.READ_ENTRIES, 2), "_read_entries_2"),
    "check:stage": (Role(RoleKind.CHECK, check="stage"), None),
    "check:slice-1": (Role(RoleKind.CHECK, check="slice-1"), None),
    "check:": (Role(RoleKind.CHECK, check=""), None),
}


@pytest.mark.parametrize("text", ROLES)
def test_a_role_is_read_as_it_was_written_and_names_its_table(text: str) -> None:
    role, ending = ROLES[text]
    assert Role.parse(text) == role
    assert (role.text, role.table_ending) == (text, ending)


def test_every_kind_is_tried_above() -> None:
    assert {role.kind for role, _ in ROLES.values()} == set(RoleKind)


@pytest.mark.parametrize(
    "text", ["", "check", "slice", "slice-", "slice-x", "stage-1", "read-1", "publish", "7"]
)
def test_what_is_no_role_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Role.parse(text)


def test_only_a_check_has_a_name() -> None:
    with pytest.raises(ValueError, match=r"stage of the check 'few'"):
        Role(RoleKind.STAGE, check="few")
