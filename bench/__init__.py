"""What recording costs a Django application; see README.md."""
