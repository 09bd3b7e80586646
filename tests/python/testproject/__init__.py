"""The Django site that the tests run in."""
