"""Recorded histories of transactions that append to lists and read them, and the judge of their isolation.

READ judge.py FIRST. operations.py is what was recorded, versions.py who appended and read what. What shows without a
graph is found by of_keys.py and of_transactions.py; cycles by graph.py, components.py and cycles.py, and confirmed by
proof.py. models.py knows what each consistency model forbids.
"""
