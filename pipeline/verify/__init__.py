"""Prove a ledger from its rows alone: what `trident verify` runs.

    log        positions without gaps, times in order, each id at its address, each key in place
    runs       each stage's runs join up, and none has passed the stage before it
    postings   each operation has one outcome; its postings are complete and sum to zero
    versions   each account's versions follow one another, and its balance runs along
    accounts   each account's row is where its postings end, and within its limit
    shifts     what effective dates move is what the log makes it, row by row
    chain      each block follows the one before it, and is the hash of the rows that it seals
    head       the newest head that is kept outside the database is part of the chain
    replay     the log, replayed through the pure core, gives these very rows

Everything is read, nothing is written, all of it from one snapshot. A check ends at its first
fault. A stage that lags is no fault: each is verified as far as it has come.
"""
