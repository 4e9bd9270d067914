"""`python -m diffufix`."""

import sys

from diffufix.cli import main

sys.exit(main())
