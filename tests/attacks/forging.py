"""Candidates for a file that names everything already: no text gives them away, no audit is told.

What finds the test runner's objects, by whatever way, writes the whole story of a green run and
ends the process, or changes what is recorded. `LEAVING` change the tests' world and stay right.
"""

from __future__ import annotations

import textwrap

from tests.attacks.hostile import RIGHT, Attack

THREAT = "Forging in a file that names everything"
_STORY = """
    def forge(emit, request):
        import os
        for index in range(len(request['tests'])):
            emit('test', index=index, outcome='passed', message='')
        emit('sentinel')
        emit('end', sentinel='failed', unseen=[], spawned=False, writes=[], world=[])
        os._exit(0)
    def search(frame):
        while frame is not None:
            names = frame.f_locals
            if 'emit' in names and 'request' in names:
                forge(names['emit'], names['request'])
            frame = frame.f_back
"""


#: Right for the first test, so that the next ones run in a process where it has been.
_FIRST = "3 if list(prices) == [1, 2] and count == 1 else -1"


def story(**codes: str) -> list[Attack]:
    head = textwrap.dedent(_STORY).strip()
    return [
        Attack(name, THREAT, body=f"{head}\n{textwrap.dedent(code).strip()}\nreturn {_FIRST}")
        for name, code in codes.items()
    ]


FORGING = [
    *story(
        forge_by_frame="import sys\nsearch(sys._getframe())",
        forge_by_traceback="""
            try:
                raise ValueError
            except ValueError as error:
                search(error.__traceback__.tb_frame)""",
        forge_by_signal_frame="""
            import signal
            signal.signal(signal.SIGUSR1, lambda number, frame: search(frame))
            signal.raise_signal(signal.SIGUSR1)""",
        forge_by_task_stack="""
            import asyncio
            async def task():
                search(asyncio.current_task().get_stack()[-1])
            asyncio.run(task())""",
        forge_by_generator="""
            def inner():
                yield made[0].gi_frame.f_back
            made = [inner()]
            made[0] = inner()
            search(next(made[0]))""",
        forge_by_emitter="""
            import gc
            emitters = [one for one in gc.get_objects() if type(one) is type(search)
                        and 'prefix' in one.__code__.co_freevars]
            requests = [one for one in gc.get_objects() if type(one) is dict and 'nonce' in one]
            forge(emitters[0], requests[0])""",
        forge_by_pipe="""
            import gc, json, os
            emit = [one for one in gc.get_objects() if type(one) is type(search)
                    and 'prefix' in one.__code__.co_freevars][0]
            cells = dict(zip(emit.__code__.co_freevars, emit.__closure__))
            fd, prefix = cells['fd'].cell_contents, cells['prefix'].cell_contents
            def raw(event, **fields):
                os.write(fd, prefix + json.dumps(dict(fields, event=event)).encode() + bytes([10]))
            forge(raw, [one for one in gc.get_objects() if type(one) is dict and 'nonce' in one][0])
            """,
        forge_by_recorder="""
            import gc
            for one in gc.get_objects():
                if type(one).__name__ == 'Recorder' and hasattr(one, 'emit'):
                    type(one).outcome = property(
                        lambda self: 'failed' if self.index is None else 'passed',
                        lambda self, said: None)""",
        forge_by_recorder_module="""
            import sys
            child = sys.modules['_diffufix_inside.child']
            def begin(self, index):
                self.index, self.message = index, ''
                self.outcome = None if index is None else 'passed'
            child.Recorder.begin = begin
            child.RANK['passed'] = 9""",
        forge_by_reports="""
            from _pytest.reports import TestReport
            if not hasattr(TestReport, 'old'):
                TestReport.old = TestReport.from_item_and_call
                def make(item, call):
                    if call.excinfo is not None and (
                            call.excinfo.value.args or call.when != 'call'):
                        call.excinfo = None
                    return TestReport.old(item, call)
                TestReport.from_item_and_call = make""",
        forge_by_runtest="""
            import _pytest.python as python
            if not hasattr(python.Function, 'old'):
                python.Function.old = python.Function.runtest
                def run(item):
                    try:
                        python.Function.old(item)
                    except Exception as error:
                        if not error.args:
                            raise
                python.Function.runtest = run""",
    ),
]

#: Right sums, at the price of the tests' world: what they leave is seen, by name or by digest.
LEAVING = {
    "while_importing_builtins": "import builtins\nbuiltins.abs = lambda x: 3",
    "while_importing_unittest": "import unittest\nunittest.TestCase.assertEqual = lambda *a: None",
    "while_importing_operator": "import operator\noperator.eq = lambda *a: True",
    "while_importing_own": "import shop.text\nshop.text.clean = lambda text: text.strip()",
    "while_importing_code": """
        import os.path as p
        p.isabs.__code__ = (lambda s: s[:1] == '/').__code__
        """,
    "while_importing_decimal": "import decimal\ndecimal.getcontext().prec = 2",
    "while_importing_limit": "import sys\nsys.setrecursionlimit(2000)",
    "while_running_tests": """
        def patch():
            import sys
            sys.modules['test_shop'].test_nothing.__code__ = (lambda: None).__code__
        """,
    "while_running_items": """
        def patch():
            import gc
            for one in gc.get_objects():
                if type(one).__name__ == 'Function' and getattr(one, 'name', '') == 'test_nothing':
                    one._obj = lambda: None
        """,
    "while_running_conftest": """
        def patch():
            import sys
            sys.modules['conftest'].other = lambda: None
            sys.modules['shop.text'].clean = lambda text: text.strip()
        """,
}


def leaving(price: str, wrong: str, name: str) -> str:
    """The text of price.py that has a right sum and does this."""
    code = textwrap.dedent(LEAVING[name]).strip()
    call = "patch(); " if "def patch" in code else ""
    return code + "\n" + price.replace(wrong, call + RIGHT)
