"""What an edit may name although its file does not name it yet, as data; touches nothing.

Everything of the standard library that is not listed here is denied: other modules, other names
of these modules, other builtins, other names between double underscores.
"""

from __future__ import annotations

import ast
import builtins
import collections
import datetime
import decimal
import fractions
import functools
import io
import pathlib
import re
import types
import uuid
from urllib.parse import ParseResult


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Modules whose every name is a calculation, but for the names after them.
PURE = {
    "math": "", "cmath": "", "itertools": "", "bisect": "", "heapq": "", "textwrap": "",
    "statistics": "", "fractions": "", "numbers": "", "unicodedata": "", "struct": "",
    "base64": "", "binascii": "", "hashlib": "", "hmac": "", "zlib": "", "html": "",
    "html.entities": "", "urllib.parse": "", "difflib": "", "calendar": "", "colorsys": "",
    "keyword": "", "shlex": "", "fnmatch": "", "stat": "", "errno": "", "zoneinfo": "",
    "graphlib": "", "ipaddress": "", "string": "Formatter Template",
    "decimal": "setcontext getcontext localcontext DefaultContext BasicContext ExtendedContext",
    "collections.abc": "", "datetime": "", "time": "sleep clock_settime tzset",
    "collections": "abc UserDict UserList UserString", "uuid": "os sys", "json": "tool",
    "re": "Scanner template sre_parse sre_compile copyreg enum functools",
    "functools": "partialmethod singledispatch singledispatchmethod total_ordering",
    "operator": "attrgetter methodcaller call setitem delitem iconcat",
    "typing": "get_type_hints ForwardRef sys types functools operator contextlib",
    "typing_extensions": "get_type_hints ForwardRef", "array": "", "csv": "writer DictWriter",
    "dataclasses": "make_dataclass sys types inspect functools", "copy": "copyreg weakref types",
    "os.path": "os sys stat genericpath", "posixpath": "os sys stat genericpath",
    "ntpath": "os sys stat genericpath", "abc": "ABCMeta", "enum": "EnumMeta EnumType sys types",
    "queue": "threading types", "email.utils": "os socket", "secrets": "",
    "weakref": "finalize sys itertools",
    "ast": "sys re contextmanager nullcontext NodeTransformer",
}  # fmt: skip
#: Modules of which only some names are harmless.
SOME = {
    "os": "path sep altsep extsep pathsep linesep curdir pardir name fspath fsencode fsdecode "
    "strerror cpu_count PathLike devnull stat_result "
    "O_RDONLY SEEK_SET SEEK_CUR SEEK_END",
    "sys": "version_info version hexversion platform maxsize maxunicode byteorder getsizeof intern "
    "float_info int_info stdout stderr stdin getdefaultencoding getfilesystemencoding "
    "getrecursionlimit implementation float_repr_style",
    "io": "open StringIO BytesIO SEEK_SET SEEK_CUR SEEK_END TextIOBase RawIOBase BufferedIOBase "
    "IOBase "
    "UnsupportedOperation DEFAULT_BUFFER_SIZE",
    "pathlib": "Path PurePath PurePosixPath PureWindowsPath",
    "contextlib": "suppress contextmanager asynccontextmanager nullcontext closing aclosing "
    "AbstractContextManager AbstractAsyncContextManager",
    "types": "NoneType MappingProxyType SimpleNamespace GeneratorType EllipsisType UnionType "
    "NotImplementedType GenericAlias",
    "logging": "getLogger debug info warning error exception critical log DEBUG INFO WARNING "
    "ERROR CRITICAL NOTSET WARN FATAL Logger LoggerAdapter getLevelName NullHandler",
    "warnings": "warn warn_explicit",
    "asyncio": "sleep gather wait wait_for shield Lock Event Queue Semaphore TimeoutError "
    "CancelledError iscoroutine iscoroutinefunction Future ALL_COMPLETED FIRST_COMPLETED "
    "FIRST_EXCEPTION QueueEmpty QueueFull InvalidStateError IncompleteReadError get_running_loop "
    "get_event_loop ensure_future create_task run timeout to_thread isfuture",
    "threading": "Lock RLock Event Condition Semaphore current_thread get_ident local Timer "
    "main_thread",
    "codecs": "BOM_UTF8 BOM_UTF16 BOM_UTF16_LE BOM_UTF16_BE BOM_UTF32 BOM_UTF32_LE BOM_UTF32_BE "
    "open encode decode lookup getincrementaldecoder getincrementalencoder",
    "locale": "getpreferredencoding getlocale",
    "random": "",
    "socket": "error timeout gaierror herror AF_INET AF_INET6 AF_UNIX SOCK_STREAM SOCK_DGRAM "
    "IPPROTO_TCP IPPROTO_IPV6 SOL_SOCKET SO_REUSEADDR",
    "ssl": "SSLError CERT_NONE CERT_REQUIRED SSLWantReadError SSLWantWriteError",
    "subprocess": "PIPE DEVNULL STDOUT CalledProcessError TimeoutExpired SubprocessError",
    "urllib.error": "HTTPError URLError",
    "http": "HTTPStatus",
    "http.client": "HTTPException",
    "signal": "Signals SIGINT SIGTERM",
    "inspect": "isclass isfunction ismethod iscoroutinefunction isgenerator isgeneratorfunction "
    "isawaitable iscoroutine isasyncgen isasyncgenfunction isabstract signature cleandoc getdoc "
    "Parameter Signature isbuiltin isroutine",
    "tokenize": "TokenError",
    "email.message": "Message EmailMessage",
    "email.header": "Header decode_header make_header",
    "gzip": "decompress compress BadGzipFile",
    "bz2": "decompress compress",
    "lzma": "decompress compress LZMAError",
    "zipfile": "BadZipFile is_zipfile",
    "tarfile": "TarError ReadError",
    "configparser": "Error NoOptionError NoSectionError",
    "xml.sax.saxutils": "escape unescape quoteattr",
    "sqlite3": "Error OperationalError IntegrityError DatabaseError",
    "concurrent.futures": "TimeoutError CancelledError wait as_completed",
    "json.decoder": "JSONDecodeError",
}

#: Builtins that calculate. `type` with one argument, `getattr` and `hasattr` of a written name
#: are looked at apart.
BUILTINS = _words(
    "abs aiter all anext any ascii bin bool bytearray bytes callable chr classmethod complex dict "
    "divmod enumerate filter float format frozenset hex int isinstance issubclass iter len list "
    "map max memoryview min next object oct ord pow print property range repr reversed round set "
    "slice sorted staticmethod str sum super tuple zip NotImplemented Ellipsis True False None "
    "__debug__ __name__ __file__ unicode basestring xrange long reduce unichr "
    "ArithmeticError AssertionError AttributeError BlockingIOError BrokenPipeError BufferError "
    "BytesWarning ChildProcessError ConnectionAbortedError ConnectionError ConnectionRefusedError "
    "ConnectionResetError DeprecationWarning EOFError EnvironmentError Exception ExceptionGroup "
    "FileExistsError FileNotFoundError FloatingPointError FutureWarning IOError ImportError "
    "ImportWarning IndentationError IndexError InterruptedError IsADirectoryError KeyError "
    "LookupError MemoryError ModuleNotFoundError NameError NotADirectoryError "
    "NotImplementedError OSError OverflowError PendingDeprecationWarning PermissionError "
    "ProcessLookupError RecursionError ReferenceError ResourceWarning RuntimeError "
    "RuntimeWarning StopAsyncIteration StopIteration SyntaxError SyntaxWarning SystemError "
    "TabError TimeoutError TypeError UnboundLocalError UnicodeDecodeError UnicodeEncodeError "
    "UnicodeError UnicodeTranslateError UnicodeWarning UserWarning ValueError Warning "
    "ZeroDivisionError"
)
#: Names between double underscores that lead nowhere.
DUNDERS = _words(
    "__name__ __qualname__ __doc__ __init__ __version__ __file__ __all__ __slots__ __future__ "
    "__annotations__ __wrapped__ __cause__ __str__ __repr__ __main__ __len__ __iter__ __next__ "
    "__enter__ __exit__ __debug__ __path__ __package__"
)
#: Names between double underscores that texts may not spell: they make values equal to all, or
#: lead from an object to everything.
TELLING = _words(
    "__eq__ __ne__ __hash__ __lt__ __le__ __gt__ __ge__ __bool__ __contains__ __instancecheck__ "
    "__subclasscheck__ __getattribute__ __getattr__ __setattr__ __del__ __reduce__ __reduce_ex__ "
    "__init_subclass__ __set_name__ __subclasses__ __globals__ __builtins__ __code__ __dict__ "
    "__class__ __closure__ __traceback__ __self__ __mro__ __bases__ __base__ __import__ "
    "__loader__ __spec__ __getstate__ __setstate__ __new__ __call__ __func__ __defaults__ "
    "__sub__ __rsub__ __add__ __radd__ __abs__ __float__ __int__ __index__"
)
#: What Python itself gives a meaning to, as far as no object of ours tells: other names between
#: double underscores are the project's own.
MEANT = _words(
    "__getattr__ __missing__ __set_name__ __prepare__ __getattribute__ __await__ __aiter__ "
    "__anext__ __aenter__ __aexit__ __enter__ __exit__ __bool__ __bytes__ __index__ __complex__ "
    "__int__ __float__ __trunc__ __round__ __floor__ __ceil__ __copy__ __deepcopy__ __getstate__ "
    "__setstate__ __getnewargs__ __getnewargs_ex__ __length_hint__ __instancecheck__ "
    "__subclasscheck__ __class_getitem__ __mro_entries__ __match_args__ __del__ __fspath__ "
    "__post_init__ __call__ __get__ __set__ __delete__ __reversed__ __cmp__ __nonzero__ __coerce__ "
    "__test__ __tracebackhide__ __unittest __builtins__ __path__ __warningregistry__ __spec__ "
    "__loader__ __cached__ __import__ __build_class__ __debuggerskip__ __subclasses__ __mro__ "
    "__bases__ __base__ __orig_class__ __orig_bases__ __isabstractmethod__ __replace__ "
    "__annotate__ __type_params__ __static_attributes__ __firstlineno__"
)
#: Special methods that a class may be given, or a new class have.
METHODS = _words("__init__ __repr__ __str__")
#: Decorators that only wrap.
DECORATORS = _words(
    "property staticmethod classmethod functools.wraps wraps functools.lru_cache lru_cache "
    "functools.cache cache functools.cached_property cached_property contextlib.contextmanager "
    "contextmanager abstractmethod abc.abstractmethod overload typing.overload override "
    "dataclass dataclasses.dataclass"
)

#: Attributes of ordinary objects that lead to frames, code, the interpreter or the test runner,
#: or end things, or write to disk.
LEADING = _words(
    "f_back f_builtins f_code f_globals f_locals f_trace f_lineno f_lasti f_trace_lines "
    "tb_frame tb_next tb_lasti tb_lineno gi_frame gi_code gi_yieldfrom cr_frame cr_code cr_await "
    "cr_origin ag_frame ag_code ag_await co_code co_consts co_names co_varnames co_filename "
    "co_freevars co_cellvars cell_contents mro get_stack print_stack get_coro all_tasks "
    "current_task walk_stack walk_tb extract_stack extract_tb get_objects get_referrers "
    "get_referents currentframe getouterframes getinnerframes stack_frame settrace setprofile "
    "gettrace getprofile _getframe _current_frames _current_exceptions setrecursionlimit "
    "setswitchinterval addaudithook excepthook unraisablehook displayhook breakpointhook "
    "threading_excepthook meta_path path_hooks path_importer_cache _exit "
    "killpg forkpty execv execve execvp execvpe posix_spawn spawnv popen "
    "closerange dup2 set_trace import_module exec_module load_module find_spec create_module "
    "invalidate_caches new_class make_dataclass create_autospec patch_object "
    "runtest runtestprotocol makereport makeitem pytest_runtest_call stash nodeid fspath_item "
    "pluginmanager getplugin get_plugin list_name_plugin hookimpl hookrelay "
    "subset_hook_caller register_assert_rewrite callinfo excinfo from_call from_item_and_call "
    "_pytest _pytestfixturefunction request_fixture getfixturevalue _fixtureinfo fixturenames "
    "funcargs callspec _testMethodName assertEqual assertTrue assertFalse assertRaises assertIs "
    "failureException addTypeEqualityFunc _getAssertEqualityFunc addCleanup skipTest subTest "
    "addHandler addFilter setLoggerClass makeRecord lastResort getHandlerByName "
    "getTypeHints get_type_hints format_map vformat get_field getvalue_of_field loggerDict "
    "write_text write_bytes unlink rmdir rmtree symlink_to hardlink_to touch mkdir makedirs "
    "read_text read_bytes chmod chown lchmod removedirs renames copyfile copytree copyfileobj "
    "ctypes CDLL cdll "
    "pythonapi dlopen addressof string_at memmove memset from_address from_buffer py_object "
    "__subclasses__"
)
#: Modules, as attributes of whatever imports them.
REACHED = _words(
    "os sys gc inspect builtins ctypes importlib subprocess pytest unittest mock pdb bdb "
    "multiprocessing threading traceback types marshal pickle shutil runpy pkgutil pydoc "
    "faulthandler atexit posix nt zipimport sysconfig doctest pluggy tracemalloc cProfile "
    "_thread _io _ctypes linecache copyreg contextvars imp site codeop weakref opcode"
)
#: Modules that may not be imported from a module that has them.
HANDED_ON = _words(
    "os sys gc builtins ctypes importlib pdb bdb marshal posix nt atexit faulthandler _thread"
)
#: What is counted: each further use is one too many, even where the file has one already.
COUNTED = _words(
    "os._exit sys._getframe sys.modules sys.settrace sys.setprofile gc.get_objects "
    "gc.get_referrers sys._current_frames inspect.stack inspect.currentframe os.kill os.abort "
    "os.fork eval exec compile __import__ globals exit quit breakpoint __builtins__"
)
#: More of the kind: of paths that are read, generators, locks, loggers, classes, structures.
MORE = _words(
    "exists is_dir is_file is_symlink resolve absolute expanduser stat iterdir "
    "glob rglob send throw close acquire release acquired locked set is_set wait notify notify_all "
    "debug info warning error exception critical log isEnabledFor cancel cancelled done result "
    "set_result set_exception add_done_callback add_note with_traceback exceptions name value "
    "put get put_nowait get_nowait empty full qsize task_done flush isatty encoding errors fileno "
    "asdict _asdict _replace _fields _make total_seconds parameters kind default annotation"
)
#: Packages that test.
TESTERS = _words(
    "pytest _pytest pluggy unittest mock doctest nose hypothesis test tests testing conftest "
    "_diffufix_inside _diffufix_reporter"
)


@functools.cache
def special() -> frozenset[str]:
    """Names between double underscores that mean something to Python or to numbers' libraries."""
    kinds = [kind for kind in vars(types).values() if isinstance(kind, type)]
    kinds += [kind for kind in vars(builtins).values() if isinstance(kind, type)]
    return MEANT | TELLING | {n for kind in kinds for n in dir(kind) if n[:2] == n[-2:] == "__"}


@functools.cache
def harmless() -> frozenset[str]:
    """Public attributes of the pure types of builtins and of the modules above, reading paths
    included."""
    pure = (
        *(str, bytes, bytearray, int, float, complex, list, dict, set, frozenset, tuple, range),
        *(slice, memoryview, Exception, OSError, UnicodeDecodeError, StopIteration, SyntaxError),
        *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone),
        *(re.Match, re.Pattern, decimal.Decimal, fractions.Fraction, collections.OrderedDict),
        *(collections.Counter, collections.deque, collections.defaultdict, collections.ChainMap),
        *(io.StringIO, io.BytesIO, uuid.UUID, ParseResult, property),
    )
    found = {name for kind in pure for name in dir(kind) if name[:1] != "_"}
    paths = {name for name in dir(pathlib.PurePath) if name[:1] != "_"}
    nodes = [kind for kind in vars(ast).values() if isinstance(kind, type)]
    fields = {name for kind in nodes if issubclass(kind, ast.AST) for name in kind._fields}
    return frozenset(found | paths | fields | MORE) - LEADING - TESTERS
