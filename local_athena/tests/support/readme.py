"""The lines that the README shows, so that tests run them as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def python_blocks() -> list[str]:
    """Return the README's Python, block by block, in its order."""
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def block_with(text: str) -> str:
    """Return the one block that holds ``text``."""
    (found,) = (block for block in python_blocks() if text in block)
    return found
