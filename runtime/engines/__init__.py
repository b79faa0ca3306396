"""Engines: one small interface (`base.Engine`), one module a backend."""
