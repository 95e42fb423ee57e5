"""The demo's servers, tested with real processes."""
