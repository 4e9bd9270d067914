"""Autoregressive and remote models that fill a hole between two texts, behind one interface.

`Engine.fill(request)` gives texts; `propose/peers.py` makes proposals of them, which are verified
like all others. Which requests a server understands is found by a probe (probe.py), never assumed.
"""
