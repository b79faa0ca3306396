"""Heat maps and Part Affinity Fields: peaks, line integrals, matching."""
