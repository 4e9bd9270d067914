"""Python files as text: functions and their spans, names, syntax, differences, patches."""
