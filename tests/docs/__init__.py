"""What documents say is so: links, commands, metrics, tasks and events are held against the code."""
