"""The tables that prove commits, what writes and what asks them: ``INSTALLED_APPS += ["indelible.django.evidence"]``, then ``manage.py migrate``.

Needed only where ``EVIDENCE`` or a model's ``class Audit`` asks for ``"marker"`` or ``"outbox"`` (docs/evidence.md).
"""
