# The same commands by shorter names; dev.py says what each does.
.PHONY: demo test check lock
demo test check lock:
	@python3 dev.py $@ $(ARGS)
