"""`python -m repotune` is `repotune`."""

import sys

from repotune.cli.main import main

sys.exit(main())
