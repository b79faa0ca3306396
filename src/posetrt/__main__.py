"""`python -m posetrt`."""

from posetrt.cli import main

raise SystemExit(main())
