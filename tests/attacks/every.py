"""All hostile candidates."""

from __future__ import annotations

from tests.attacks.harming import HANG, HOG, LEFT, OUT, SERVER
from tests.attacks.lying import EDIT, EQUAL, EXIT, FORGE, PATCH, PLANT, SKIP
from tests.attacks.reaching import LEFT_OVER

ATTACKS = [
    *EXIT, *SKIP, *EQUAL, *PATCH, *FORGE, *PLANT, *EDIT, *SERVER, *LEFT, *HOG, *HANG, *OUT,
    *LEFT_OVER,
]  # fmt: skip
