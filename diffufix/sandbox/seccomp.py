"""A filter of system calls for bubblewrap, as the bytes that `--seccomp` reads; touches nothing.

Denied with EPERM: keys of the kernel's keyring, which outlive a sandbox; limits of other
processes; tracing; new namespaces' mounts; the kernel's own programs. What no test needs.
"""

from __future__ import annotations

import platform
import struct

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _DENY = 0x7FFF0000, 0x00050000 | 1  # EPERM
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_X32 = 0x40000000  # the other way to call the kernel of x86-64
#: architecture -> (AUDIT_ARCH, calls that are denied, prlimit64).
_KINDS = {
    # add_key request_key keyctl ptrace process_vm_readv process_vm_writev perf_event_open bpf
    # userfaultfd io_uring_setup mount umount2 pivot_root open_by_handle_at kexec_load init_module
    "x86_64": (
        0xC000003E,
        (248, 249, 250, 101, 310, 311, 298, 321, 323, 425, 165, 166, 155, 304, 246, 175),
        302,
    ),
    "aarch64": (
        0xC00000B7,
        (217, 218, 219, 117, 270, 271, 241, 280, 282, 425, 40, 39, 41, 265, 104, 105),
        261,
    ),
}


def program() -> bytes:
    """The filter for this machine; empty where its architecture is not known."""
    kind = _KINDS.get(platform.machine())
    if kind is None:
        return b""
    architecture, denied, prlimit = kind
    steps: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _DENY),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _DENY),
    ]
    for number in denied:
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _DENY)]
    steps += [
        (_EQUAL, 0, 3, prlimit),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 1, 0, 0),  # its own limits
        (_RETURN, 0, 0, _DENY),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("<HBBI", *step) for step in steps)
