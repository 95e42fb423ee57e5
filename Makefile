# The same commands by shorter names; dev.py says what each does.
.PHONY: demo test check costs soak lock
demo test check costs soak lock:
	@python3 dev.py $@ $(ARGS)
