"""A small assistant: a conversation with an instruct model, files attached, code run in a sandbox.

session.py   turns, what fits, answers with their code blocks
files.py     files of the project by name, and blocks written to files
running.py   a block as a program in a sandbox
"""
