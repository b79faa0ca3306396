"""Engines: what this device can do, a plan, a build."""
