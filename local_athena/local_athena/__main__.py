"""``python -m local_athena``: the command ``local-athena``."""

import sys

from local_athena.cli import main

if __name__ == "__main__":
    sys.exit(main())
