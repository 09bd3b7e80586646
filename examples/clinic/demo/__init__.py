"""The demonstration that ``make demo`` runs: a site under load, its trail, and a comparison of the two.

The driver keeps its own ledger of what it did, from the HTTP answers and nothing else. At the end ledger, trail and
database must agree id by id.
"""
