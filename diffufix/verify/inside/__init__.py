"""The fork server: runs inside the sandbox, under the project's own interpreter.

Python 3.9 and later, pytest 7 and later, no other dependency; nothing here imports diffufix. The
folder is copied into the sandbox's private directory and imported from there.
"""
