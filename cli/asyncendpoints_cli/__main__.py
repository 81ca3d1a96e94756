"""`python -m asyncendpoints_cli` is the `asyncendpoints` command."""

import sys

from asyncendpoints_cli.main import main

sys.exit(main())
