"""Pure values and judgements: values in, values out; nothing here waits, reads a clock or talks."""
