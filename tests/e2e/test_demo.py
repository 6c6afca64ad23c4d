"""The demo runs two of the example DAGs through a real Airflow of its own, and checks every row."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo import packages

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

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
