from diffufix.api import Localization as Localization
from diffufix.api import RunOptions as RunOptions
from diffufix.api import Verification as Verification
from diffufix.api import apply as apply
from diffufix.api import generate as generate
from diffufix.api import localize as localize
from diffufix.api import repair as repair
from diffufix.api import runs as runs
from diffufix.api import undo as undo
from diffufix.api import verify as verify
from diffufix.errors import ApplyError as ApplyError
from diffufix.errors import CheckpointError as CheckpointError
from diffufix.errors import DiffufixError as DiffufixError
from diffufix.errors import PrerequisiteError as PrerequisiteError
from diffufix.errors import ProjectError as ProjectError
from diffufix.errors import SandboxUnavailable as SandboxUnavailable
from diffufix.errors import StoreError as StoreError
from diffufix.errors import UsageError as UsageError
from diffufix.events import Event as Event
from diffufix.events import Listener as Listener
from diffufix.repair.types import Offer as Offer
from diffufix.repair.types import RepairResult as RepairResult
from diffufix.repair.types import Status as Status
from diffufix.store.query import RunRow as RunRow
from diffufix.types import Claims as Claims
from diffufix.types import Patch as Patch
from diffufix.types import State as State
from diffufix.types import SuspiciousFunction as SuspiciousFunction
from diffufix.types import TestCase as TestCase
from diffufix.types import TestRun as TestRun
from diffufix.types import Verdict as Verdict

_calmed: bool
__version__: str
__all__: list[str]
