"""Tests against real servers; what they share is in conftest.py."""
