"""Secrets at rest: bound to where they belong, and to the key."""

from __future__ import annotations

import pytest

from ledger.vault import Vault, VaultError, fingerprint

KEY, OTHER = "a key that is only for tests", "another key only for tests"


def test_a_secret_opens_only_where_it_was_sealed_for() -> None:
    vault = Vault(KEY)
    sealed = vault.seal("pässword\0with everything", "connection:7")
    assert "pässword" not in sealed
    assert vault.open(sealed, "connection:7") == "pässword\0with everything"
    with pytest.raises(VaultError, match="connection:8"):
        vault.open(sealed, "connection:8")
    assert vault.seal("x", "a") != vault.seal("x", "a")  # nobody sees that two are the same


@pytest.mark.parametrize("garbage", ["", "v1.", "v1.abc", "v1.é", "plain text", "v2." + "A" * 100])
def test_what_was_never_sealed_can_not_be_opened(garbage: str) -> None:
    with pytest.raises(VaultError):
        Vault(KEY).open(garbage, "a")
    with pytest.raises(VaultError):
        Vault(KEY).rotate(garbage)


def test_another_key_opens_nothing() -> None:
    sealed = Vault(KEY).seal("x", "a")
    with pytest.raises(VaultError, match="SECRET_KEY"):
        Vault(OTHER).open(sealed, "a")


def test_rotation_moves_a_secret_to_the_new_key_and_keeps_its_place() -> None:
    sealed = Vault(OTHER).seal("x", "a")
    both = Vault(KEY, OTHER)
    assert both.open(sealed, "a") == "x"
    rotated = both.rotate(sealed)
    assert Vault(KEY).open(rotated, "a") == "x"
    with pytest.raises(VaultError):
        Vault(OTHER).open(rotated, "a")
    with pytest.raises(VaultError):
        Vault(KEY).open(rotated, "b")
    with pytest.raises(VaultError):  # what is sealed while both are known is under the new one
        Vault(OTHER).open(both.seal("y", "a"), "a")


def test_a_signature_is_of_one_text_one_purpose_one_key() -> None:
    vault = Vault(KEY)
    signature = vault.sign("text", "links")
    assert signature == Vault(KEY, OTHER).sign("text", "links")
    assert (
        len({signature, vault.sign("text2", "links"), vault.sign("text", "hooks"), Vault(OTHER).sign("text", "links")})
        == 4
    )
    assert len(signature) == 24
    assert not set(signature) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_fingerprint_names_without_telling() -> None:
    assert fingerprint("uid@example.org") == fingerprint("uid@example.org")
    assert fingerprint("uid@example.org") != fingerprint("uid@example.com")
    assert len(fingerprint("x" * 5000)) == 32
    assert "uid" not in fingerprint("uid@example.org")
