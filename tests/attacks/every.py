"""All hostile candidates."""

from __future__ import annotations

from tests.attacks.harming import HANG, HOG, LEFT, OUT, SERVER
from tests.attacks.lying import EDIT, EQUAL, EXIT, FORGE, PATCH, PLANT, SKIP

ATTACKS = [
    *EXIT, *SKIP, *EQUAL, *PATCH, *FORGE, *PLANT, *EDIT, *SERVER, *LEFT, *HOG, *HANG, *OUT,
]  # fmt: skip
