# mypy: ignore-errors
"""Runs tests on several versions of a project's files and observes calls: `python FILE SETTINGS`.

PYTEST_DONT_REWRITE. Python 3.9 and later. SETTINGS is a JSON file (written by
`diffufix.trust.calls`). pytest is imported once; each version has a forked child in which imports
find the version's texts, so that no file of the tree is changed. A child writes NAME.tests.json
(outcomes and calls), then NAME.plays.json (what the functions gave for the made-up inputs, what
became of the user's expectations). Where an edited module would be imported with pytest itself,
the children import pytest themselves.
"""

import base64
import json
import os
import resource
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def main(settings):
    tree = os.path.realpath(settings["tree"])
    edited = {os.path.join(tree, path) for version in settings["versions"]
              for path in version["files"]}  # fmt: skip
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != HERE]
    sys.path[:0] = [settings["tree"], HERE]
    if not settings.get("bare"):
        import pytest  # noqa: F401

        loaded = {os.path.realpath(getattr(m, "__file__", None) or "") for m in
                  list(sys.modules.values())}  # fmt: skip
        if loaded & edited:
            again = dict(settings, bare=True)
            path = os.path.join(settings["out"], "bare.json")
            with open(path, "w") as file:
                json.dump(again, file)
            os.execv(sys.executable, [sys.executable, os.path.abspath(__file__), path])
    for version in settings["versions"]:
        run_child(settings, version)


def run_child(settings, version):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setpgid(0, 0)
            seconds = int(settings["limit"]) + 1
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            Child(settings, version).run()
            status = 0
        except BaseException as error:
            write(settings, version["name"], "problem", f"{type(error).__name__}: {error}"[:400])
        finally:
            os._exit(status)
    until = time.monotonic() + settings["wait"]
    while time.monotonic() < until:
        if os.waitpid(pid, os.WNOHANG)[0]:
            end(pid)
            return
        time.sleep(0.005)
    end(pid)
    os.waitpid(pid, 0)


def end(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            return


def write(settings, name, part, value):
    path = os.path.join(settings["out"], f"{name}.{part}.json")
    with open(path + ".new", "w") as file:
        json.dump(value, file)
    os.replace(path + ".new", path)


class Child:
    def __init__(self, settings, version):
        self.settings, self.version = settings, version
        self.tree = os.path.realpath(settings["tree"])
        self.served = set()

    def run(self):
        settings, version = self.settings, self.version
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nothing, fd)
        self.serve({os.path.join(self.tree, p): text for p, text in version["files"].items()})
        import pytest
        from _diffufix_calls import Plugin, Tracer
        from _diffufix_reporter import move_imports

        move_imports(settings["root"], settings["tree"])
        functions = {
            (os.path.join(self.tree, path), line): name for path, line, name in version["functions"]
        }
        tracer = Tracer(functions, version["role"] == "record")
        plugin = Plugin(
            settings["ids"], tracer, settings["test_seconds"], settings["tree"], settings["root"]
        )
        sys.argv = ["pytest", *settings["args"]]
        status = pytest.main(settings["args"], plugins=[plugin])
        write(settings, version["name"], "tests", {
            "status": int(status), "outcomes": plugin.outcomes, "calls": tracer.plain(),
            "served": sorted(self.served),
        })  # fmt: skip
        self.play(functions, tracer)

    def serve(self, texts):
        """Let imports of these files find these texts."""
        from importlib.machinery import SourceFileLoader

        served, original = self.served, SourceFileLoader.get_code

        def get_code(loader, name):
            path = os.path.realpath(loader.path)
            text = texts.get(path)
            if text is None:
                return original(loader, name)
            served.add(os.path.relpath(path, self.tree))
            return compile(text.lstrip("\ufeff"), loader.path, "exec", dont_inherit=True)

        if texts:
            SourceFileLoader.get_code = get_code

    def play(self, functions, tracer):
        from _diffufix_inputs import Guard, Player, function_at, made_up

        settings, version = self.settings, self.version
        inputs = settings["inputs"]
        path = os.path.join(settings["out"], "inputs.json")
        if inputs is None and version["role"] == "record":
            kept = list(tracer.pickles.values())
            made = made_up(kept, settings["made_up"], settings["seed"], settings["play_seconds"])
            inputs = [(n, base64.b64encode(data).decode(), own) for n, data, own in made]
            write(settings, "inputs", "made", inputs)
            os.replace(os.path.join(settings["out"], "inputs.made.json"), path)
        elif inputs is None:
            with open(path) as file:
                inputs = json.load(file)
        found = {name: function_at(*place) for place, name in functions.items()}
        expected = [self.expect(text) for text in settings["expectations"]]
        player, plays = Player(Guard()), []
        until = time.monotonic() + settings["play_seconds"]
        for name, data, _ in inputs:
            function = found.get(name)
            if function is None or time.monotonic() > until:
                plays.append(None)
                continue
            plays.append(player.play(function, base64.b64decode(data)))
        write(settings, version["name"], "plays", {"plays": plays, "expected": expected})

    def expect(self, text):
        """ "yes", "no", or the error, of an expression over the edited modules' names."""
        names = {}
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if (
                file
                and os.path.relpath(os.path.realpath(file), self.tree) in (self.settings["modules"])
            ):
                names.update(vars(module))
        try:
            return "yes" if eval(text, names) else "no"
        except Exception as error:
            return f"{type(error).__name__}: {error}"[:200]


if __name__ == "__main__":
    with open(sys.argv[1]) as settings_file:
        main(json.load(settings_file))
