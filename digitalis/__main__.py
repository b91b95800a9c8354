"""`python -m digitalis`: the same as `digitalis`."""

import sys

from digitalis.command import main

if __name__ == "__main__":
    sys.exit(main())
