"""`POST /run_code` as SandboxFusion's clients use it."""

from __future__ import annotations

import base64

import pytest

from diffufix.errors import UsageError
from diffufix.serve.client import VerifyClient


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_python_with_input_and_files(client: VerifyClient) -> None:
    code = "import sys; open('out', 'w').write(open('data/in').read() + input()); sys.exit(3)"
    found = client.run_code(
        code, stdin="b", files={"data/in": encoded("a")}, fetch_files=["out", "none"],
        compile_timeout=10, run_timeout=20,
    )  # fmt: skip
    assert found["status"] == "Failed"
    assert found["run_result"]["status"] == "Finished"
    assert found["run_result"]["return_code"] == 3
    assert found["run_result"]["execution_time"] > 0
    assert base64.b64decode(found["files"].pop("out")) == b"ab"
    assert not found["files"]
    assert found["compile_result"] is None


@pytest.mark.parametrize(("right", "status"), [(True, "Success"), (False, "Failed")])
def test_pytest(client: VerifyClient, right: bool, status: str) -> None:
    code = f"from lib import two\ndef test_two(tmp_path):\n    assert (two() == 2) is {right}\n"
    lib = encoded("def two():\n    return 2\n")
    found = client.run_code(code, "pytest", files={"lib.py": lib}, run_timeout=30)
    assert found["status"] == status
    assert found["run_result"]["return_code"] == (0 if right else 1)
    assert ("1 passed" if right else "1 failed") in found["run_result"]["stdout"]


def test_time_and_memory_end(client: VerifyClient) -> None:
    late = client.run_code("print(1, flush=True)\nwhile True: pass", run_timeout=1.0)
    assert late["status"] == "Failed"
    assert late["run_result"]["status"] == "TimeLimitExceeded"
    assert late["run_result"]["return_code"] is None
    assert late["run_result"]["stdout"] == "1\n"
    large = client.run_code("x = bytearray(1 << 30)", memory_limit_MB=200)
    assert large["status"] == "Failed"
    assert "MemoryError" in large["run_result"]["stderr"]


def test_what_is_no_request(client: VerifyClient) -> None:
    with pytest.raises(UsageError, match="language"):
        client.run_code("", "cobol")
    with pytest.raises(UsageError, match="no path"):
        client.run_code("", files={"../x": ""})
    with pytest.raises(UsageError, match="no base64"):
        client.run_code("", files={"x": "*"})
