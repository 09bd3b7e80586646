"""The checks of ``make lint`` find what they are for."""

from __future__ import annotations

import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent.parent / "scripts"


def script(name: str) -> ModuleType:
    """A script without suffix as a module."""
    loader = SourceFileLoader(name.replace("-", "_"), str(SCRIPTS / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


crates = script("check-crates")
house = script("check-house")


@pytest.mark.parametrize(
    "expression",
    ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR GPL-3.0) AND Unicode-3.0", "Apache-2.0 WITH LLVM-exception"],
)
def test_a_licence_that_can_be_satisfied_is_allowed(expression: str) -> None:
    assert crates.licence_is_allowed(expression)


@pytest.mark.parametrize("expression", ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND GPL-3.0", "MIT AND", "(MIT", "MIT MIT"])
def test_a_licence_that_cannot_be_satisfied_is_refused(expression: str) -> None:
    assert not crates.licence_is_allowed(expression)


def test_a_banned_crate_a_foreign_source_and_a_wrong_licence_are_found() -> None:
    package = {"name": "openssl", "version": "1.0.0", "license": "GPL-3.0", "source": "git+https://example.org/openssl"}
    assert len(crates.faults_of_package(package)) == 3


def test_too_many_crates_and_a_network_crate_in_an_application_are_found() -> None:
    linked = {f"crate{number} 1.0.0" for number in range(crates.APPLICATION_CRATES_MAX)} | {"tokio 1.0.0"}
    assert len(crates.faults_of_application(linked)) == 2


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("crates/indelible/src/journal/files.rs", "unsafe { libc::write() };"),
        ("crates/indelible-core/src/event/mod.rs", "let now = SystemTime::now();"),
        ("crates/indelible-core/src/frame.rs", "use std::fs::File;"),
        ("crates/indelible/src/recorder.rs", "use std::net::TcpStream;"),
    ],
)
def test_rust_that_breaks_a_rule_is_found(name: str, line: str) -> None:
    assert list(house.faults_of_rust(name, line)) != []


def test_rust_that_only_speaks_of_it_is_not_a_fault() -> None:
    assert list(house.faults_of_rust("crates/indelible-core/src/lib.rs", "//! No unsafe, no std::fs, no std::net.")) == []


@pytest.mark.parametrize(
    "line",
    ["from django.db.models.signals import post_delete", "signals.m2m_changed.connect(f)", "transaction.on_commit(f)"],
)
def test_a_forbidden_hook_is_found(line: str) -> None:
    assert list(house.faults_of_python("python/indelible/django/_writes.py", line)) != []


def test_a_doc_comment_may_name_a_forbidden_hook() -> None:
    assert list(house.faults_of_python("python/indelible/django/_writes.py", '"""Not on_commit, nor post_delete."""')) == []


def test_a_folder_of_a_machine_is_found() -> None:
    # Put together here, so that this file does not contain one itself.
    assert list(house.faults_of_text("docs/why.md", "/".join(["see ", "home", "ana", "notes"]))) != []
