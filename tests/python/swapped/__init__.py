"""A site whose user is a model of its own: another kind of key, no user name, no groups, not even a staff flag."""
