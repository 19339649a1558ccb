"""Fuzzers: foreign input of every kind, changed at random, which must end in errors of ours only.

`make fuzz MINUTES=10` runs each target for so long; the tests run each a few times.
"""
