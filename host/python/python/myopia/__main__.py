"""``python -m myopia``."""

import sys

from myopia._program import main

sys.exit(main())
