# mypy: ignore-errors
"""How the fork server and a cold run are started. Touches nothing by itself.

`python -c LAUNCH PRIVATE` takes the package from the private directory; `python -c COLD FD` reads
it, with its request, from a descriptor: no file is left for anybody to change in between.
"""

# No entry of ours stays on sys.path: `main` puts the working directory there.
LAUNCH = (
    "import sys; sys.path[0] = sys.argv[1]; import _diffufix_inside.server as server; server.main()"
)
COLD = """
import importlib.abc, importlib.util, json, sys
with open(int(sys.argv[1]), encoding="utf-8") as file:
    message = json.load(file)
class Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    def find_spec(self, name, path=None, target=None):
        if name in message["sources"]:
            return importlib.util.spec_from_loader(name, self, is_package="." not in name)
    def get_source(self, name):
        return message["sources"][name]
    def is_package(self, name):
        return "." not in name
    def get_code(self, name):
        return compile(self.get_source(name), name, "exec", dont_inherit=True)
sys.meta_path.insert(0, Finder())
import _diffufix_inside.server as server
server.main_cold(message["config"])
"""
