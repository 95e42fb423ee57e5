"""One promise, one file. A new file here is found, scheduled, measured and documented with no other edit."""
