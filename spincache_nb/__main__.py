"""``python -m spincache_nb``: the same as the command ``spincache-nb``."""

import sys

from spincache_nb.cli import main

if __name__ == "__main__":
    sys.exit(main())
