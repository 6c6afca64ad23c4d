"""The example DAGs run unchanged; the demo runs both through a real Airflow and checks every row."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo import packages
from demo.__main__ import Verdict

ROOT = Path(__file__).parents[2]


def test_the_demo_ends_with_every_row_as_quilt3_says(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo", "--home", str(tmp_path / "home")],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "Every row is as quilt3 says." in done.stdout
    assert "DIFFERENT" not in done.stdout
    assert done.stdout.count("equal:") == len(packages.DAYS) + 3


@pytest.mark.parametrize(
    ("found", "differences"),
    [(["a", "b"], 0), (["a"], 1), (["a", "b", "c"], 1), (["a", "b", "b"], 1), ([], 2)],
)
def test_the_demo_notices_missing_extra_and_doubled_rows(found: list[str], differences: int) -> None:
    verdict = Verdict()
    verdict.compare("rows", found, ["a", "b"])
    assert verdict.differences == differences
