"""How API keys are spelled: each leads to its row, and what is none is known without asking."""

import pytest

from models import api_key


@pytest.mark.parametrize("tenant_id", [1, 42, api_key.TENANT_MAX])
@pytest.mark.parametrize("key_id", [1, 2**40, api_key.KEY_ID_MAX])
def test_a_key_says_whose_and_which_it_is(tenant_id: int, key_id: int) -> None:
    """Whatever its numbers, it is as long as any other, and its id as well."""
    key = api_key.new_key(tenant_id, key_id)
    assert len(key) == len(api_key.PREFIX) + api_key.LENGTH
    assert api_key.read_key(key) == (tenant_id, key_id)
    shown = api_key.show_id(key_id)
    assert api_key.parse_id(shown) == key_id
    assert api_key.subject_of(key_id) == f"key:{shown}"


def test_no_two_keys_are_alike() -> None:
    """Of the same numbers too: the secret is random, and so is its hash."""
    keys = {api_key.new_key(1, 1) for _ in range(100)}
    assert len({api_key.hash_of(key) for key in keys}) == 100


def test_one_wrong_letter_makes_it_no_key() -> None:
    """The checksum knows: every letter replaced, left out, doubled, and all of them turned."""
    key = api_key.new_key(1, api_key.new_id())
    for place in range(len(api_key.PREFIX), len(key)):
        other = "0" if key[place] != "0" else "1"
        assert api_key.read_key(key[:place] + other + key[place + 1 :]) is None, place
        assert api_key.read_key(key[:place] + key[place + 1 :]) is None, place
        assert api_key.read_key(key[:place] + key[place] + key[place:]) is None, place
    assert api_key.read_key(key.swapcase()) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "tr_live_", "tr_live_" + "0" * 8000, "tr_test_" + "0" * 65),
        *(f"tr_live_{letter * 65}" for letter in "0z é"),
    ],
)
def test_what_is_no_key_is_none(text: str) -> None:
    """Nothing that may stand in a header breaks the reading."""
    assert api_key.read_key(text) is None


@pytest.mark.parametrize("text", ["", "ak_", "ak_1", "ak_00000000000", "ak_zzzzzzzzzzz", "pe_1"])
def test_what_is_no_id_is_none(text: str) -> None:
    """A name that no key can have."""
    assert api_key.parse_id(text) is None
