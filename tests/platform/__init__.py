"""The sample platform, as a process of its own on real servers."""
