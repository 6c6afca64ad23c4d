from __future__ import annotations

import json

from airflow_quilt_athena.core.plans import Action, Difference, Plan, Step, compare

MIXED = Plan(
    (
        Step.create("results bucket", "acme-results", [Difference("region", None, "eu-west-1")]),
        Step.converge("workgroup", "quilt-query", [Difference("metrics", "False", "True")]),
        Step.converge("policy", "AthenaQuiltAccess", [Difference("rule", "old", None)]),
        Step.converge("database", "quilt_query", []),
    )
)


def test_a_plan_reads_like_what_is_done() -> None:
    assert MIXED.render(applied=False).splitlines() == [
        "+ results bucket acme-results: to create",
        "    region: eu-west-1",
        "~ workgroup quilt-query: to change",
        "    metrics: False → True",
        "~ policy AthenaQuiltAccess: to change",
        "    rule: old → removed",
        "= database quilt_query: unchanged",
        "Plan: 1 to create, 2 to change, 1 unchanged.",
    ]
    assert MIXED.render(applied=True).splitlines()[-1] == "Plan: 1 created, 2 changed, 1 unchanged."


def test_an_xcom_is_small_json_that_names_every_resource() -> None:
    xcom = MIXED.to_xcom()
    assert json.loads(json.dumps(xcom)) == xcom
    assert xcom["changed"] is True
    assert [(r["resource"], r["name"], r["action"]) for r in xcom["resources"]] == [
        ("results bucket", "acme-results", "created"),
        ("workgroup", "quilt-query", "changed"),
        ("policy", "AthenaQuiltAccess", "changed"),
        ("database", "quilt_query", "unchanged"),
    ]
    assert xcom["resources"][1]["details"] == [{"setting": "metrics", "from": "False", "to": "True"}]


def test_a_step_without_a_difference_does_nothing() -> None:
    assert Step.converge("workgroup", "w", []).action is Action.UNCHANGED
    assert not Plan((Step.converge("workgroup", "w", []),)).changed


def test_what_is_taken_away_and_what_is_kept_are_told_apart() -> None:
    kept = Step.keep("bucket", "acme-results", "it is not ours")
    removed = Step.remove("workgroup", "quilt-query", [Difference("metrics", "True", None)])
    assert Plan((removed, kept)).render(applied=False).splitlines() == [
        "- workgroup quilt-query: to remove",
        "    metrics: True → removed",
        "= bucket acme-results: unchanged",
        "    kept: it is not ours",
        "Plan: 0 to create, 0 to change, 1 to remove, 1 unchanged.",
    ]
    assert (removed.does_something, kept.does_something) == (True, False)


def test_only_settings_that_differ_are_differences() -> None:
    found: dict[str, object] = {"a": 1, "b": False}
    assert compare([("a", 1), ("b", True), ("c", "x")], found) == (
        Difference("b", "False", "True"),
        Difference("c", None, "x"),
    )
