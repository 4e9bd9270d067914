"""Measuring: published benchmarks, read in their publishers' formats, run through the tool itself.

suites/        what is measured on: readers of each format, data found, fetched and checked
types.py       `RepairCase` (a project with a fault), `CodingProblem` (a function to be written)
repairing.py   a case through `diffufix repair`, counted three ways
completing.py  a problem's samples, and their verdicts
runs.py        one line a case on disk: a run that was killed goes on where it ended
statistics.py  pass@k, intervals, paired tests
"""
