"""What stands in deploy/, the Dockerfile and config/examples: held against the tools that read it."""
