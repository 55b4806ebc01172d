"""`python -m gansmith`: the same as the command `gansmith`."""

import sys

from gansmith.cli import main

sys.exit(main())
