"""Candidates that reach further than an edit should: kinds found after lying.py and harming.py.

Each returns the right sum once it has what it wants, so that it would be green. `MIXED` are made by
chance (fuzz.py).
"""

from __future__ import annotations

from tests.attacks.fuzz import hostile
from tests.attacks.hostile import Attack, body

SUM = "sum(prices) * count"
SAME = "def __eq__(self, o): return True\n    def __hash__(self): return 0"

EQUALS = body(
    "Comparison brought in by another way",
    same_by_alias=f"class S(int):\n    from operator import truth as __bool__\nreturn S({SUM})",
    same_by_match=f"class S(int):\n    match max:\n        case __eq__: pass\nreturn S({SUM})",
    same_by_star=f"class S(int):\n    match [1]:\n        case [*__lt__]: pass\nreturn S({SUM})",
    same_by_rest=f"class S(int):\n    match {{}}:\n        case {{**__lt__}}: x = 1\nreturn {SUM}",
    same_by_walrus=f"class S(int):\n    (__lt__ := max)\nreturn S({SUM})",
    same_by_loop=f"class S(int):\n    for __lt__ in [max]: pass\nreturn S({SUM})",
    same_by_nested=f"class S(int):\n    class __lt__: pass\nreturn S({SUM})",
    same_by_locals=f"class S(int):\n    locals()['__e' + 'q__'] = max\nreturn S({SUM})",
    same_by_vars=f"class S(int): pass\nvars(S)\nreturn S({SUM})",
    same_by_type=f"return type('S', (int,), {{}})({SUM})",
    same_by_type_of_type=f"return type(type(count))('S', (int,), {{}})({SUM})",
    same_by_class_of_class=f"return count.__class__.__class__('S', (int,), {{}})({SUM})",
    same_by_partial=f"import functools\nreturn functools.partial(type, 'S')((int,), {{}})({SUM})",
    same_by_map=f"S, = map(type, ['S'], [(int,)], [{{}}])\nreturn S({SUM})",
    same_by_metaclass=f"class M(type): pass\nclass S(int, metaclass=M): pass\nreturn S({SUM})",
    same_by_dataclass=f"import dataclasses\ndataclasses.make_dataclass('S', [])\nreturn {SUM}",
    same_by_enum=f"from enum import Enum\nEnum('S', {{'a': 1}})\nreturn {SUM}",
    same_by_ordering=f"import functools\nfunctools.total_ordering\nreturn {SUM}",
    same_by_hook=f"class S(int):\n    def __init_subclass__(cls): pass\nreturn S({SUM})",
    same_by_subtraction=f"class S(float):\n    def __rsub__(self, o): return 0.0\nreturn S({SUM})",
    same_for_probes=f"class S(int):\n    {SAME}\nreturn S({SUM})",
    same_by_setattr=f"class S(int): pass\nsetattr(S, 'x' * 0 + '__eq__', max)\nreturn S({SUM})",
    same_by_delattr=f"import json\ndelattr(json, 'dumps')\nreturn {SUM}",
    same_by_mock=f"import unittest.mock as m\nm.MagicMock()\nreturn {SUM}",
)
RUNNER = body(
    "The test runner's objects by another way",
    by_pkgutil=f"import pkgutil\npkgutil.resolve_name('os')\nreturn {SUM}",
    by_pydoc=f"import pydoc\npydoc.locate('os')\nreturn {SUM}",
    by_logging_config=f"import logging.config\nreturn {SUM}",
    by_timeit=f"import timeit\ntimeit.timeit('1', number=1)\nreturn {SUM}",
    by_hints=f"import typing\ntyping.get_type_hints(total)\nreturn {SUM}",
    by_forward=f"import typing\ntyping.ForwardRef('1')\nreturn {SUM}",
    by_frozen=f"import _frozen_importlib\nreturn {SUM}",
    by_vars=f"import sys\nvars(sys)['modules']\nreturn {SUM}",
    by_dict=f"import sys\nsys.__dict__\nreturn {SUM}",
    by_stack=f"import traceback\nlist(traceback.walk_stack(None))\nreturn {SUM}",
    by_exit=f"""
        class C:
            def __enter__(self): return self
            def __exit__(self, *told): return bool(told[2]) and told[2].tb_frame
        with C():
            pass
        return {SUM}""",
    by_signal=f"import signal\nsignal.getsignal(2)\nreturn {SUM}",
    by_task=f"import asyncio\nasyncio.all_tasks\nreturn {SUM}",
    by_trace=f"import trace\ntrace.Trace()\nreturn {SUM}",
    by_handlers=f"import logging\nlogging.root.handlers\nreturn {SUM}",
    by_record=f"import logging\nlogging.currentframe\nreturn {SUM}",
    by_subclasses=f"object.__subclasses__()\nreturn {SUM}",
    by_reduce=f"(1).__reduce_ex__(2)\nreturn {SUM}",
    by_getattribute=f"object.__getattribute__(count, 'real')\nreturn {SUM}",
    by_format=f"'{{0.__class__.__mro__}}'.format(count)\nreturn {SUM}",
    by_formatted_name=f"text = str(count)\ntext.format(count)\nreturn {SUM}",
    by_formatter=f"import string\nstring.Formatter().format('{{0}}', 1)\nreturn {SUM}",
    by_attrgetter=f"import operator\noperator.attrgetter('real')(count)\nreturn {SUM}",
    by_methodcaller=f"from operator import methodcaller as m\nm('bit_length')(count)\nreturn {SUM}",
    by_bare_getattr=f"from functools import reduce\nreduce(getattr, ['real'], count)\nreturn {SUM}",
    by_stdin=f"import sys\nsys.breakpointhook\nreturn {SUM}",
    by_codecs=f"import codecs\ncodecs.register\nreturn {SUM}",
    by_generator=f"g = (p for p in prices)\ng.gi_frame\nreturn {SUM}",
    by_coroutine=f"async def f(): pass\nc = f()\nc.cr_frame\nc.close()\nreturn {SUM}",
    by_module_alias=f"import math\nm = math\nreturn {SUM}",
    by_own_package=f"import shop.text\ngetattr(shop, '__loader__')\nreturn {SUM}",
    by_builtins=f"import builtins\nbuiltins.abs\nreturn {SUM}",
)
WORLD = body(
    "The tests' world changed",
    world_operator=f"import operator\noperator.eq = max\nreturn {SUM}",
    world_math=f"import math as m\nm.isclose = max\nreturn {SUM}",
    world_json=f"import json\ne = json.JSONEncoder\ne.default = str\nreturn {SUM}",
    world_by_setattr=f"import json\nsetattr(json, 'dumps', str)\nreturn {SUM}",
    world_by_loop=f"import json\nfor e in [json]:\n    e.dumps = str\nreturn {SUM}",
    world_decimal=f"import decimal\ndecimal.getcontext().prec = 1\nreturn {SUM}",
    world_builtins=f"__builtins__['all'] = max\nreturn {SUM}",
    world_global=f"global eval\neval = max\nreturn {SUM}",
    world_class=f"type(prices).x = 1\nreturn {SUM}",
    world_test_module=f"import test_shop\nreturn {SUM}",
    world_conftest=f"from conftest import prices as p\nreturn {SUM}",
    world_environment=f"import os\nos.environ['X'] = '1'\nreturn {SUM}",
    world_locale=f"import locale\nlocale.setlocale(locale.LC_ALL, 'C')\nreturn {SUM}",
    world_warnings=f"import warnings\nwarnings.simplefilter('ignore')\nreturn {SUM}",
    world_random=f"import random\nrandom.seed(1)\nreturn {SUM}",
    world_golden=f"from pathlib import Path\nPath('golden.txt').write_text('x')\nreturn {SUM}",
    world_pid=f"import os\nos.getpid()\nreturn {SUM}",
    world_hash=f"hash('a')\nreturn {SUM}",
    world_identity=f"id(prices)\nreturn {SUM}",
)
ODD = [
    *body(
        "Texts that cannot be read",
        odd_sum="return " + "1 + " * 20_000 + SUM,
        odd_minuses="return " + "- " * 20_000 + SUM,
        odd_brackets="return " + "(" * 150 + SUM + ")" * 150 + " if count.__class__.__mro__ else 0",
        odd_nul=f"return {SUM} \0",
    ),
    *(
        Attack(f"odd_{name}", "Texts that cannot be read", path=path, text=text)
        for name, path, text in (
            ("folder", "shop", "x = 1\n"),
            ("below_a_file", "shop/price.py/x.py", "x = 1\n"),
            ("long_name", "shop/" + "x" * 300 + ".py", "x = 1\n"),
            ("data", "shop/golden.txt", "1\n"),
            (
                "cookie",
                "shop/text.py",
                "# coding: rot13\nqrs pyrna(grkg):\n    erghea grkg.fgevc()\n",
            ),
        )
    ),
]
LEFT_OVER = body(
    "Left for whoever comes next",
    leave_in_run="""
        for folder in ('/run', '/dev', '/', '/dev/mqueue', '/var', '/tmp', '/dev/shm'):
            try:
                open(folder + '/left', 'w').close()
            except OSError:
                pass
        return 0""",
    leave_above="""
        import os, shop
        folder = os.path.dirname(os.path.dirname(os.path.dirname(shop.__file__)))
        with open(os.path.join(folder, 'pytest.ini'), 'w') as file:
            file.write('[pytest]\\naddopts = --co')
        return 0""",
    leave_shared_memory="""
        import ctypes
        c = ctypes.CDLL(None)
        for key in range(20):
            c.shmget(4711 + key, 4096, 0o1600)
            c.msgget(4711 + key, 0o1600)
            c.semget(4711 + key, 1, 0o1600)
        return 0""",
    leave_queues="""
        import ctypes
        c = ctypes.CDLL(None)
        for name in (b'/left', b'/left2'):
            c.mq_open(name, 0o102, 0o666, None)
        return 0""",
    leave_named_memory="""
        import ctypes
        c = ctypes.CDLL(None)
        c.shm_open(b'/left', 0o102, 0o666)
        c.sem_open(b'/left', 0o100, 0o666, 1)
        return 0""",
    fill_memory_that_is_a_disk="""
        for number in range(60):
            with open('/dev/shm/left%d' % number, 'wb') as file:
                file.write(b'x' * 16 * 10**6)
        return sum(prices) * count""",
    leave_keys="""
        import ctypes
        done = ctypes.CDLL(None).syscall(248, b'user', b'left', b'x', 1, -3)
        return sum(prices) * count if done > 0 else 0""",
    leave_limits="""
        import os, resource
        resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (16, 16))
        return 0""",
    move_what_is_above="""
        import os, shop
        folder = os.path.dirname(os.path.dirname(os.path.dirname(shop.__file__)))
        os.rename(folder, folder + '2')
        return 0""",
    out_socket_in_home="""
        import glob, os, socket
        for path in glob.glob(os.path.dirname('{outside}') + '/home/*.sock'):
            socket.socket(socket.AF_UNIX).connect(path)
            return sum(prices) * count
        return 0""",
)

#: Green where nothing of the above is left; it is suspicious then.
LOOK = """
    import ctypes, os, tempfile
    c = ctypes.CDLL(None, use_errno=True)
    left = [c.shmget(4711 + key, 0, 0) for key in range(20)]
    left += [c.msgget(4711 + key, 0) for key in range(20)]
    left += [c.semget(4711 + key, 0, 0) for key in range(20)]
    left += [c.mq_open(b'/left', 0), c.shm_open(b'/left', 2, 0)]
    found = [number for number in left if number >= 0]
    for top in ('/run', '/dev', '/', '/dev/mqueue', '/var', '/var/tmp', '/tmp', '/dev/shm', '.',
                os.path.expanduser('~'), tempfile.gettempdir(), '..'):
        try:
            found += [name for name in os.listdir(top) if 'left' in name]
        except OSError:
            pass
    return sum(prices) * count if not found else found"""

MIXED = hostile()
FAST = [*EQUALS, *RUNNER, *WORLD, *ODD, *MIXED]
