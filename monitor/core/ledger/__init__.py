"""Which writes were acknowledged, what was found of them later, and why some were not: pure, as all of core."""
