# The same commands by shorter names; dev.py says what each does.
.PHONY: demo test check costs bench bench-full bench-ledger sim bench-trends bench-web detection e2e soak ledger-kills lock docs
demo test check costs bench bench-full bench-ledger sim bench-trends bench-web detection e2e soak ledger-kills lock docs:
	@python3 dev.py $@ $(ARGS)

# make failover-lab ARGS="--scenario async-crash"
.PHONY: failover-lab
failover-lab:
	@python3 dev.py lab $(ARGS)
