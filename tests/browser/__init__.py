"""The pages in a real Chromium: what people see, reach by keyboard and are told, with and without JavaScript."""
