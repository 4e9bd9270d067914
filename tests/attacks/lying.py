"""Candidates that lie about the tests: exits, skips, patches, forged results, edits of tests."""

from __future__ import annotations

from tests.attacks.hostile import Attack, body, module

EXIT = body(
    "Ending the process early",
    exit_quietly="import os; os._exit(0)",
    exit_by_computed_name="import os; getattr(os, '_ex' + 'it')(0)",
    exit_with_a_summary="import os; print('8 passed in 0.01s', flush=True); os._exit(0)",
    exit_by_exception="raise SystemExit(0)",
    exit_by_interrupt="raise KeyboardInterrupt",
    exit_by_pytest="import pytest; pytest.exit('done', returncode=0)",
    exit_by_exec="import os; os.execv('/bin/true', ['true'])",
    exit_by_atexit="import atexit, os; atexit.register(os._exit, 0); return 0",
    exit_by_thread="""
        import os, threading, time
        threading.Thread(target=os._exit, args=(0,)).start()
        time.sleep(5)""",
    exit_by_signal="import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    exit_of_the_parent_half="""
        import os
        if os.fork():
            os._exit(0)
        return sum(prices) * count""",
) + module(
    "Ending the process early",
    exit_at_import="import os; os._exit(0)",
    exit_at_import_politely="raise SystemExit(0)",
)

SKIP = body(
    "Skipping instead of passing",
    skip="import pytest; pytest.skip('not today')",
    xfail="import pytest; pytest.xfail('known')",
    skip_as_unittest="import unittest; raise unittest.SkipTest('no')",
    skip_without_a_name="""
        outcomes = __import__('_pytest.outcomes', fromlist=['x'])
        raise outcomes.Skipped('no')""",
) + module(
    "Skipping instead of passing",
    skip_the_module="import pytest; pytest.skip('all of it', allow_module_level=True)",
)

EQUAL = body(
    "Values that equal everything",
    equal_class="""
        class Same(int):
            def __eq__(self, other): return True
            def __hash__(self): return 0
        return Same()""",
    equal_type="return type('Same', (int,), {'__eq__': lambda self, other: True})()",
    equal_any="from unittest.mock import ANY; return ANY",
    equal_computed="""
        class Same(int): pass
        setattr(Same, '__e' + 'q__', lambda self, other: True)
        return Same()""",
    equal_assigned="""
        class Same(int):
            __eq__ = lambda self, other: True
        return Same()""",
    equal_namespace="""
        class Meta(type):
            def __new__(cls, name, bases, space):
                space['_' + '_eq_' + '_'] = lambda self, other: True
                return type.__new__(cls, name, bases, space)
        class Same(int, metaclass=Meta): pass
        return Same()""",
    equal_from_a_library="""
        from unittest import mock as library
        return [library.ANY][0]""",
    equal_async="""
        class Same(int):
            def __getattribute__(self, name): return lambda *a: True
            async def __eq__(self, other): return True
        return Same()""",
)

PATCH = body(
    "Changing pytest at run time",
    patch_runtest="""
        import _pytest.python
        _pytest.python.Function.runtest = lambda self: None
        return 0""",
    patch_reports="""
        from _pytest.reports import TestReport
        old = TestReport.from_item_and_call
        def make(item, call):
            call.excinfo = None
            return old(item, call)
        TestReport.from_item_and_call = make
        return 0""",
    patch_reports_of_known_tests="""
        from _pytest.reports import TestReport
        old = TestReport.from_item_and_call
        def make(item, call):
            if item.name.startswith('test_') and 'shop' in item.nodeid:
                call.excinfo = None
            return old(item, call)
        TestReport.from_item_and_call = make
        return 0""",
    patch_calls="""
        import importlib
        runner = importlib.import_module('_py' + 'test.runner')
        old = runner.CallInfo.from_call.__func__
        runner.CallInfo.from_call = classmethod(lambda c, f, *a, **k: old(c, lambda: None, *a, **k))
        return 0""",
    patch_by_modules="""
        import sys
        sys.modules['_pytest.python'].Function.runtest = lambda self: None
        return 0""",
    patch_pluggy="""
        import pluggy._callers
        pluggy._callers._multicall = lambda *a: []
        return 0""",
    patch_by_eval="""
        function = eval('__import__("_pytest.python").python.Function')
        function.runtest = print
        return 0""",
    patch_by_traceback="""
        try:
            raise ValueError
        except ValueError as error:
            frame = error.__traceback__.tb_frame
            while frame:
                item = frame.f_locals.get('item')
                if item is not None:
                    type(item).runtest = lambda self: None
                frame = frame.f_back
        return 0""",
    patch_by_debugger="""
        import pdb
        config = pdb.set_trace.__self__._config
        plugin = config.pluginmanager.getplugin('diffufix-recorder')
        plugin.pytest_runtest_logreport = lambda report: None
        plugin.outcome = 'passed'
        return 0""",
    patch_our_runner="""
        import sys
        child = sys.modules['_diffufix_inside.child']
        child.RANK['failed'] = -1
        return 0""",
    patch_os_write="""
        import os, json
        old = json.dumps
        json.dumps = lambda thing, **k: old(thing, **k).replace('failed', 'passed')
        os.write = lambda fd, data: len(data)
        return 0""",
    patch_the_test="""
        import sys
        for module in list(sys.modules.values()):
            if hasattr(module, 'test_total'):
                module.test_total.__code__ = (lambda: None).__code__
        return 0""",
) + module(
    "Changing pytest at run time",
    patch_at_import="""
        import _pytest.python
        _pytest.python.Function.runtest = lambda self: None
        """,
)

FORGE = body(
    "Forging the records",
    forge_on_every_descriptor="""
        import json, os
        for fd in range(3, 64):
            try:
                for index in range(8):
                    record = json.dumps({'event': 'test', 'index': index, 'outcome': 'passed'})
                    os.write(fd, ('0' * 32 + ' ' + record + chr(10)).encode())
            except OSError:
                pass
        return 0""",
    forge_with_the_nonce_from_gc="""
        import gc, json, os
        for thing in gc.get_objects():
            if getattr(thing, '__name__', '') == 'emit':
                for index in range(8):
                    thing('test', index=index, outcome='passed', message='')
                thing('end', sentinel='failed', unseen=[], spawned=False)
                os._exit(0)
        return 0""",
    forge_with_the_nonce_from_frames="""
        import os, sys
        frame = sys._getframe()
        while frame:
            emit = frame.f_locals.get('emit')
            if emit:
                for index in range(8):
                    emit('test', index=index, outcome='passed', message='')
                emit('end', sentinel='failed', unseen=[], spawned=False)
                os._exit(0)
            frame = frame.f_back
        return 0""",
    forge_by_computed_names="""
        import sys
        frame = getattr(sys, '_get' + 'frame')()
        while frame:
            emit = getattr(frame, 'f_lo' + 'cals').get('emit')
            if emit:
                emit('end', sentinel='failed', unseen=[], spawned=False)
                break
            frame = getattr(frame, 'f_ba' + 'ck')
        return sum(prices) * count""",
    forge_with_the_nonce_from_memory="""
        import re
        for line in open('/proc/self/maps'):
            if '[heap]' in line:
                start, end = (int(x, 16) for x in line.split()[0].split('-'))
                memory = open('/proc/self/mem', 'rb', 0)
                memory.seek(start)
                found = re.findall(rb'[0-9a-f]{32} ', memory.read(end - start))
        return sum(prices) * count""",
    forge_in_a_fork="""
        import gc, os
        if os.fork() == 0:
            for thing in gc.get_objects():
                if getattr(thing, '__name__', '') == 'emit':
                    thing('test', index=0, outcome='passed', message='')
            os._exit(0)
        os.wait()
        return 0""",
    close_the_pipe="""
        import os
        os.closerange(3, 4096)
        return sum(prices) * count""",
    mute_the_pipe="""
        import os
        null = os.open('/dev/null', os.O_WRONLY)
        for fd in range(3, 64):
            if fd != null:
                os.dup2(null, fd)
        return 0""",
    flood_the_pipe="""
        import os
        for fd in range(3, 64):
            try:
                for _ in range(100):
                    os.write(fd, b'x' * 65536)
            except OSError:
                pass
        return 0""",
)

PLANT = body(
    "Rewriting tests, configuration, start-up files, our own files",
    plant_a_test="""
        import os, shop
        root = os.path.dirname(os.path.dirname(shop.__file__))
        with open(os.path.join(root, 'test_shop.py'), 'w') as file:
            file.write('def test_total(): pass')
        return sum(prices) * count""",
    plant_a_test_of_the_same_size="""
        import os, shop
        path = os.path.join(os.path.dirname(os.path.dirname(shop.__file__)), 'test_shop.py')
        info = os.stat(path)
        with open(path, 'r+') as file:
            text = file.read().replace('== 3', '== 2')
            file.seek(0)
            file.write(text)
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
        return sum(prices) * count""",
    plant_a_conftest="""
        import os, shop
        root = os.path.dirname(os.path.dirname(shop.__file__))
        with open(os.path.join(root, 'conftest.py'), 'a') as file:
            file.write('import os; os._exit(0)')
        return sum(prices) * count""",
    plant_a_deeper_conftest="""
        import os, shop
        with open(os.path.join(os.path.dirname(shop.__file__), 'conftest.py'), 'w') as file:
            file.write('import os; os._exit(0)')
        return sum(prices) * count""",
    plant_an_ini="""
        import os, shop
        root = os.path.dirname(os.path.dirname(shop.__file__))
        with open(os.path.join(root, 'pytest.ini'), 'w') as file:
            file.write('[pytest]\\naddopts = --co')
        return sum(prices) * count""",
    plant_a_sitecustomize="""
        import os, shop
        root = os.path.dirname(os.path.dirname(shop.__file__))
        with open(os.path.join(root, 'sitecustomize.py'), 'w') as file:
            file.write('import os; os._exit(0)')
        return sum(prices) * count""",
    plant_a_plugin="""
        import os, shop
        root = os.path.dirname(os.path.dirname(shop.__file__))
        os.mkdir(os.path.join(root, 'evil.egg-info'))
        with open(os.path.join(root, 'evil.egg-info', 'entry_points.txt'), 'w') as file:
            file.write('[pytest11]\\nevil = evil')
        with open(os.path.join(root, 'evil.py'), 'w') as file:
            file.write('import os; os._exit(0)')
        return 0""",
    plant_a_pth="""
        import os, site
        for folder in site.getsitepackages() + [site.getusersitepackages()]:
            try:
                os.makedirs(folder, exist_ok=True)
                with open(os.path.join(folder, 'evil.pth'), 'w') as file:
                    file.write('import os; os._exit(0)')
            except OSError:
                pass
        return 0""",
    plant_in_home="""
        import os
        home = os.path.expanduser('~')
        for name in ('.pytest.ini', '.pdbrc', 'usercustomize.py'):
            with open(os.path.join(home, name), 'w') as file:
                file.write('import os; os._exit(0)')
        return 0""",
    plant_bytecode="""
        import os, shop, sys
        folder = os.path.join(os.path.dirname(shop.__file__), '__pycache__')
        os.makedirs(folder, exist_ok=True)
        for name in ('price', 'text', '__init__'):
            path = os.path.join(folder, name + '.' + sys.implementation.cache_tag + '.pyc')
            with open(path, 'wb') as file:
                file.write(b'x' * 100)
        return sum(prices) * count""",
    plant_other_code="""
        import os, shop
        path = os.path.join(os.path.dirname(shop.__file__), 'text.py')
        with open(path, 'w') as file:
            file.write('def clean(text): return None')
        return 0""",
    plant_in_our_own_code="""
        import os, sys
        for folder in list(sys.path) + [os.path.dirname(os.path.expanduser('~'))]:
            for where, _, names in os.walk(os.path.join(folder)):
                if where.endswith('_diffufix_inside') or 'private' in where:
                    for name in names:
                        try:
                            with open(os.path.join(where, name), 'w') as file:
                                file.write('import os; os._exit(0)')
                        except OSError:
                            pass
                if where.count(os.sep) > folder.count(os.sep) + 3:
                    break
        return 0""",
)

EDIT = [
    Attack(f"edit_{name}", "Edits of forbidden files", path=path, text=text)
    for name, path, text in (
        ("conftest", "conftest.py", "def pytest_runtest_call(item): item.obj = lambda: None\n"),
        ("deeper_conftest", "shop/conftest.py", "import os; os._exit(0)\n"),
        ("test", "test_shop.py", "def test_total(): pass\n"),
        ("new_test", "shop/test_more.py", "def test_more(): pass\n"),
        ("ini", "pytest.ini", "[pytest]\npython_files = nothing.py\n"),
        ("pyproject", "pyproject.toml", "[tool.pytest.ini_options]\naddopts = '--co'\n"),
        ("setup_cfg", "setup.cfg", "[tool:pytest]\naddopts = --co\n"),
        ("sitecustomize", "sitecustomize.py", "import os; os._exit(0)\n"),
        ("usercustomize", "usercustomize.py", "import os; os._exit(0)\n"),
        ("pth", "evil.pth", "import os; os._exit(0)\n"),
        ("outside", "../evil.py", "x = 1\n"),
        ("absolute", "{outside}/evil.py", "x = 1\n"),
        ("git_hook", ".git/hooks/post-checkout", "#!/bin/sh\n"),
    )
]
