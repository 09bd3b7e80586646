"""``python -m demo``: runs the demonstration. With ``DEMO=once`` it ends by itself, otherwise with Ctrl-C."""

import os
import secrets
import signal
import sys
import tempfile
import time
from pathlib import Path

from demo import compare, tamper, traffic
from demo.ledger import Exchange, Ledger
from demo.site import CLINIC, Site, SiteError
from demo.trail import Trail

BINARY = CLINIC.parent.parent / "target" / "debug" / "indelible"
INGEST_S = 60
TAMPERED = 5
ENDING = {signal.SIGINT, signal.SIGTERM}


class DemoError(Exception):
    """The demonstration shows something else than it should; the text says what."""


def heading(text: str) -> None:
    print(f"\n=== {text}\n", flush=True)


def records_of(trail: Trail, exchanges: list[Exchange]) -> list[dict]:
    """All records, once the trail holds one for every request; what is then still missing is reported, not awaited."""
    sent = {exchange.request_id for exchange in exchanges}
    deadline = time.monotonic() + INGEST_S
    while True:
        records = trail.records("")
        if sent <= {compare.request_id(record["event"]) for record in records if record["event"]["kind"] == "request"}:
            return records
        if time.monotonic() > deadline:
            return records
        time.sleep(0.2)


def worth_telling(exchanges: list[Exchange]) -> tuple[str, str]:
    """A patient who was treated, discharged, and whose transfer failed; and the request that discharged them."""
    transfer = next(exchange for exchange in exchanges if exchange.path.endswith("/transfer/"))
    one = transfer.path.removesuffix("transfer/")
    request = next(exchange for exchange in exchanges if exchange.path == f"{one}discharge/")
    return one.split("/")[-2], request.request_id


def show(trail: Trail, exchanges: list[Exchange]) -> None:
    patient, request = worth_telling(exchanges)
    heading(f"The story of one patient: indelible timeline clinic.Patient/{patient}")
    print(trail.show("timeline", f"clinic.Patient/{patient}"))
    heading(f"One request with all that it caused: indelible search --asc request:{request}")
    print(trail.show("search", "--asc", f"request:{request}"))
    heading("Failed logins: indelible search action:auth.login_failed")
    print(trail.show("search", "action:auth.login_failed"))


def verify(trail: Trail) -> None:
    heading("Is it intact? indelible verify")
    done = trail.run("verify", "-o", "table")
    print(done.stdout or done.stderr)
    if done.returncode != 0:
        raise DemoError(f"verify of the untouched trail: exit {done.returncode}")


def compare_all(site: Site, ledger: Ledger, records: list[dict]) -> None:
    heading("Ledger, trail and database, id by id")
    faults = [*ledger.faults, *compare.differences(ledger.exchanges, records, site.data / "clinic.sqlite3")]
    for fault in faults:
        print(fault)
    if faults:
        raise DemoError(f"{len(faults)} differences")
    effects = sum(len(exchange.effects) for exchange in ledger.exchanges)
    logins = sum(exchange.auth is not None for exchange in ledger.exchanges)
    print(f"{len(ledger.exchanges)} requests, {effects} changed objects, {logins} logins and logouts: all agree")


def tamper_with_copy(site: Site, leaf: int) -> int:
    """Shows that a changed letter is found; returns the leaf that ``verify`` names."""
    copy = Trail(site.binary, site.data / "copy")
    tamper.copy_trail(site.trail_data, copy.data)
    before = copy.run("verify")
    if before.returncode != 0:
        raise DemoError(f"verify of an honest copy: exit {before.returncode}\n{before.stdout}{before.stderr}")
    old, new = tamper.change_one_letter(copy, leaf)
    heading(f"One letter changed in a copy, record {leaf}: {old!r} is now {new!r}; indelible verify")
    after = copy.run("verify", "-o", "table")
    print(after.stdout or after.stderr)
    if after.returncode != TAMPERED or f"tampered at {leaf}," not in after.stdout:
        raise DemoError(f"verify of the changed copy: exit {after.returncode}, and record {leaf} is not named")
    return leaf


def demonstrate(site: Site) -> str:
    """Runs everything and returns the closing line."""
    ledger = Ledger()
    heading(f"The clinic runs at http://127.0.0.1:{site.address[1]}/admin/; seven users are at work")
    traffic.drive(site.address, site.password, ledger)
    trail = Trail(site.binary, site.trail_data)
    records = records_of(trail, ledger.exchanges)
    show(trail, ledger.exchanges)
    verify(trail)
    compare_all(site, ledger, records)
    victim = next(record["leaf"] for record in records if record["event"]["action"] == "patient.discharge")
    found = tamper_with_copy(site, victim)
    return f"demo: {len(ledger.exchanges)} requests, {len(records)} events, 0 missing, intact, tampering found at {found}"


def wait_for_interrupt(site: Site, trail: Trail) -> None:
    heading("The clinic keeps running; Ctrl-C ends it")
    print(f"site   http://127.0.0.1:{site.address[1]}/admin/   user root, password {site.password}")
    command = f"{site.binary} --data {site.trail_data}"
    print(f"pages  {trail.show('link').strip()}   opens once; {command} link prints another")
    print(f"trail  {command} search 'actor:root'", flush=True)
    # Blocked signals are waited for; one that is not would interrupt the wait instead of ending it.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    signal.sigwait(ENDING)


def main() -> int:
    # The end of this process must be the end of those that it started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    once = os.environ.get("DEMO") == "once"
    with tempfile.TemporaryDirectory(prefix="indelible-demo-") as folder:
        site = Site(Path(folder), Path(os.environ.get("INDELIBLE_BINARY", BINARY)), secrets.token_hex(8))
        try:
            site.start()
            closing = demonstrate(site)
            if not once:
                wait_for_interrupt(site, Trail(site.binary, site.trail_data))
        except (DemoError, SiteError) as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
        finally:
            site.stop()
    print(closing)
    return 0


if __name__ == "__main__":
    sys.exit(main())
