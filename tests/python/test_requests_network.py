"""Client addresses, request ids and trace contexts: garbage from the network is never stored as what it claims to be."""

from __future__ import annotations

import pytest

from indelible.django import _network


@pytest.mark.defect("G-15")
@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "client"),
    [
        ("10.0.0.1", None, 0, "10.0.0.1"),
        ("10.0.0.1", "6.6.6.6", 0, "10.0.0.1"),
        ("10.0.0.1", "6.6.6.6, 9.9.9.9", 1, "9.9.9.9"),
        ("10.0.0.1", "6.6.6.6, 9.9.9.9, 10.0.0.2", 2, "9.9.9.9"),
        ("10.0.0.1", "6.6.6.6", 2, "10.0.0.1"),
        ("10.0.0.1", None, 1, "10.0.0.1"),
        ("10.0.0.1", "<script>", 1, None),
        ("10.0.0.1", "unknown", 1, None),
        ("10.0.0.1", "9.9.9.9:4711", 1, "9.9.9.9"),
        ("10.0.0.1", "[2001:DB8::1]:443", 1, "2001:db8::1"),
        ("fe80::1%eth0", None, 0, "fe80::1"),
        ("::ffff:9.9.9.9", None, 0, "9.9.9.9"),
        ("999.1.1.1", None, 0, None),
        ("1.2.3", None, 0, None),
        ("1.2.3.4\0", None, 0, None),
        ("", None, 0, None),
        (None, None, 0, None),
    ],
)
def test_the_client_address_is_what_our_own_proxies_saw(peer: str | None, forwarded: str | None, proxies: int, client: str | None) -> None:
    meta = {"REMOTE_ADDR": peer}
    if forwarded is not None:
        meta["HTTP_X_FORWARDED_FOR"] = forwarded
    assert _network.client_ip(meta, proxies) == client


@pytest.mark.parametrize("inbound", ["a", "A-b_c.9", "x" * 128])
def test_a_well_formed_request_id_is_kept(inbound: str) -> None:
    assert _network.request_id(inbound) == inbound


@pytest.mark.parametrize("inbound", [None, "", "x" * 129, "a b", "a\nb", "a\n", "ü", "<id>"])
def test_any_other_request_id_is_replaced(inbound: str | None) -> None:
    first, second = _network.request_id(inbound), _network.request_id(inbound)
    assert first != second
    assert len(first) == 32
    assert first != inbound


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("traceparent", "expected"),
    [
        (f"00-{TRACE}-{SPAN}-01", (TRACE, SPAN)),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", (TRACE, SPAN)),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE}-{SPAN}", None),
        (f" 00-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-01\n", None),
        ("", None),
    ],
)
def test_a_traceparent_is_taken_only_as_the_standard_writes_it(traceparent: str, expected: tuple[str, str] | None) -> None:
    assert _network.trace_context(traceparent) == expected
