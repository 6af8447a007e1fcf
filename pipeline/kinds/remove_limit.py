"""remove_limit: what it limited is not limited by it any more."""

from pipeline.kinds import fields, rule_fields
from pipeline.kinds.remove_rule import removing_kind


class Schema(fields.OperationSchema):
    """Which limit."""

    name = rule_fields.rule_name()


KIND = removing_kind("remove_limit", "limits", "name", "daily-out", Schema())
