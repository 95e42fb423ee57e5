"""Holdfast tells whether the data that was acknowledged still comes back."""

__version__ = "0.1.0"
