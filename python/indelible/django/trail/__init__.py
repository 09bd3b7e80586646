"""Read-only pages over the trail in Django's admin: ``INSTALLED_APPS += ["indelible.django.trail"]``.

There is no table and no migration: pages ask the agent (docs/commands.md, "The trail in the admin").
"""
