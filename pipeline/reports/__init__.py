"""What the books say at any date: balances, statements, trial balance, balance sheet, income.

There are two bases. By time of acceptance (`posting`) the past never changes: what was true at a
time stays true of it. By effective date (`effective`) it may: an operation of today can be dated to
last month. Days are days in UTC.
"""
