"""Search: find operations and postings of a ledger by what they say and by what they did.

    contents   what of an operation can be searched for: words, metadata, amounts, currencies
    codes      each of these as a number, and many of them packed into few rows
    index      the consumer that keeps the index behind the last stage, and makes it anew
    wanted     what a list is asked for
    check      whether an operation is what was asked for, read from the log itself
    sources    which positions may be: from the index, the accounts, the rejections or the log
    listing    pages of operations and postings

The index only ever says where it is worth looking. What is shown was read from the log in the same
snapshot, and what the index has not reached is looked through in the log: so a search is as new as
the log and never wrong, however far the index lags.
"""
