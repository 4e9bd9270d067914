"""What speaks for a patch that passes: behaviour, strength of the tests, groups, style, and the
probability that all of it amounts to. Green is not right.

    Observer         runs versions of the files in a sandbox and records calls     calls.py
    behaviour        what a patch changes in calls of passing and failing tests    behaviour.py
    Strength         how many other edits of the same statement the tests reject   strength.py
    group            patches that do the same, and inputs that tell them apart     groups.py
    faults           what nobody would write                                       style.py
    probability      the evidence weighed by coefficients fitted in bench/         probability.py
"""
