"""disallow_accounts: unknown accounts of the pattern are refused again. Open ones stay open."""

from pipeline.kinds import fields, rule_fields
from pipeline.kinds.remove_rule import removing_kind


class Schema(fields.OperationSchema):
    """The pattern, as it was allowed."""

    pattern = rule_fields.pattern(required=True)


KIND = removing_kind("disallow_accounts", "accounts", "pattern", "customers:*", Schema())
