"""A business refusal: data that becomes a rejection, never an exception.

Every code stands here once, with the sentence that docs and API show for it.
"""

from typing import Any, NamedTuple


class Refusal(NamedTuple):
    """Why an operation is rejected: a stable code, and what it was about."""

    code: str
    detail: dict[str, Any]


CODES = {
    # validate: the operation itself, whatever the state of the books
    "unknown_currency": "The currency is not one of ISO 4217.",
    "effective_date_out_of_range": "The effective date is before 1900 or more than a year ahead.",
    "expiry_out_of_range": "The time of expiry is in the past, or more than a year ahead.",
    "same_currency": "There is nothing to exchange: both currencies are the same.",
    "same_account": "Source and destination are the same account.",
    "fees_exceed_amount": "The destination would pay its fees out of less than they come to.",
    "exchange_comes_to_nothing": "What comes out rounds to zero, or the spread takes all of it.",
    "exchange_too_large": "What comes out is above the greatest amount of one posting.",
    "shares_not_whole": "The shares of a side are not 100 percent, and no leg takes the rest.",
    "leg_comes_to_nothing": "A leg's part of the total rounds to zero, or nothing is left for it.",
    "unbalanced_journal": "The legs of a currency do not sum to zero.",
    # authorize: may this principal do this
    "not_permitted": "The principal's roles and scopes do not permit this kind of operation.",
    "limit_exceeded": "The amount is above the principal's limit for one operation.",
    # any stage: of what a group holds
    "group_failed": "An operation of the group was refused, so none of them takes effect.",
    "group_too_large": "The operations of the group would post more than 10,000 legs together.",
    # post: what the operation's target is and what is left of it
    "unknown_target": "No operation with this id was accepted before in this ledger.",
    "target_rejected": "The operation that it names was rejected: there is nothing to decide.",
    "target_not_pending": "The operation that it names is not one that waits for this.",
    "target_decided": "The operation that it names has been decided already.",
    "own_approval": "Nobody approves what they have submitted themselves.",
    "approved_already": "The principal has approved the operation already: it takes other people.",
    "approval_dated_otherwise": "The approval names another effective date than the operation.",
    "amount_exceeds_held": "The amount is above what is still held.",
    "reversal_of_reversal": "A reversal cannot be reversed: pay again instead.",
    "nothing_to_reverse": "The operation that it names has posted nothing.",
    "already_reversed": "The operation that it names has been given back completely.",
    "reversal_not_divisible": "It has more than two legs, so it goes back as a whole or not.",
    "amount_exceeds_original": "The amount is above what is left of the original.",
    "schedule_never_due": "The schedule has no time between now and ten years ahead.",
    "schedule_paused": "The schedule is paused.",
    "schedule_not_paused": "The schedule is not paused, so it cannot be resumed.",
    "occurrence_overtaken": "The schedule was paused and resumed before this took effect.",
    # post: the state of the books, in this order for each account named
    "account_exists": "An account with this code is open already.",
    "unknown_account": "No account with this code exists in the ledger.",
    "currency_mismatch": "The account keeps another currency.",
    "account_closed": "The account is closed.",
    "account_frozen": "The account is frozen, or the side of it that the operation moves.",
    "condition_failed": "An account is not as the operation requires: see what was found.",
    "account_not_frozen": "The account is not frozen, so it cannot be unfrozen.",
    "account_not_closed": "The account is not closed, so it cannot be reopened.",
    "account_not_empty": "The account still has a balance, so it cannot be closed.",
    "overdraft_in_use": "The account's balance is below the overdraft that it would get.",
    "balance_overflow": "A total of the account would pass 9 * 10^18 minor units.",
    "insufficient_funds": "The account would pass its limit: balance and overdraft are too small.",
    "limit_reached": "A limit of the ledger for an operation, a day or a month would be passed.",
    # post: the rules of the ledger
    "unknown_rule": "The ledger has no rule of this name.",
    "too_many_rules": "The ledger has as many rules of this sort as it may have.",
    # shown of an operation that waited for approvals, and did not get them
    "approval_refused": "One of the people whose approval it needed has refused it.",
    "approval_expired": "It was not approved in time.",
    # any stage: three attempts failed on this operation alone; operators are alerted
    "internal_error": "Trident could not process this operation; its operators have been alerted.",
}


def refuse(code: str, /, **detail: Any) -> Refusal:
    """A refusal whose code is one of CODES."""
    assert code in CODES, code
    return Refusal(code, detail)
