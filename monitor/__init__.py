"""Holdfast: does the data that was acknowledged still come back?"""

__version__ = "0.1.0"
