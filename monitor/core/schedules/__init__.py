"""Directed schedules: a few transactions in a fixed order, in which an anomaly shows or does not.

READ catalogue.py FIRST. notation.py is how a schedule is written and read aloud, results.py what its answers mean.
"""
