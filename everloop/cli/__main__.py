"""``python -m everloop.cli``, for where the ``everloop`` script is not on the path."""

import sys

from everloop.cli import main

sys.exit(main())
