"""Tests of bindings, each on its real target."""
