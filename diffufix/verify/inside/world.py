# mypy: ignore-errors
"""The tests' world: functions and classes that tests rest on, which no edit has to replace.

Only reads. What is looked at: builtins, a few modules of the standard library, pytest's own, and
the modules that hold the tests. A name that stood for something callable and now stands for
something else is told; what tests add, and what they put back, is not.
"""

import sys
import types

MODULES = (
    *("builtins", "operator", "math", "unittest.case", "unittest.mock", "doctest", "os", "json"),
    *("_pytest.python", "_pytest.runner", "_pytest.reports", "_pytest.outcomes", "_pytest.nodes"),
    *("_pytest.python_api", "_pytest.unittest", "_pytest.fixtures", "_pytest.raises", "pytest"),
    *("pluggy._callers", "pluggy._hooks", "pluggy._manager"),
)
MOST = 50  # names that are told
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, type, staticmethod, classmethod)


class World:
    """As it is before the first test of a run; `items` are pytest's."""

    def __init__(self, items):
        names = {getattr(getattr(item, "module", None), "__name__", "") for item in items}
        self.places = []
        for name in (*MODULES, *sorted(names)):
            module = sys.modules.get(name)
            if module is not None:
                self._keep(name, vars(module))
                for inner, value in list(vars(module).items()):
                    if isinstance(value, type) and value.__module__ == name:
                        self._keep(f"{name}.{inner}", vars(value))

    def _keep(self, name, space):
        known = [(key, value) for key, value in space.items() if isinstance(value, _FUNCTIONS)]
        self.places.append((name, space, known))

    def changed(self):
        """The names that stand for something else now, some of them."""
        found = [
            f"world:{name}.{key}"
            for name, space, known in self.places
            for key, value in known
            if space.get(key) is not value
        ]
        return sorted(found)[:MOST]
