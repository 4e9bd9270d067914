# mypy: ignore-errors
"""How the fork server is started: `python -c LAUNCH PRIVATE [REQUEST]`. Touches nothing."""

# No entry of ours stays on sys.path: `main` puts the working directory there.
LAUNCH = (
    "import sys; sys.path[0] = sys.argv[1]; import _diffufix_inside.server as server; "
    "server.main(*sys.argv[1:])"
)
