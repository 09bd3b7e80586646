"""The tables that prove what was committed: ``INSTALLED_APPS += ["indelible.django.evidence"]``, then ``manage.py migrate``.

Needed only where ``EVIDENCE`` or a model's ``class Audit`` asks for ``"marker"`` or ``"outbox"`` (docs/evidence.md).
"""
