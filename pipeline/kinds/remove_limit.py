"""remove_limit: what it limited is not limited by it any more.

It waits under a rule of approvals that is over limits, if there is one.
"""

from pipeline.kinds import fields, rule_fields
from pipeline.kinds.approvals import REMOVE_LIMIT
from pipeline.kinds.remove_rule import removing_kind


class Schema(fields.OperationSchema):
    """Which limit."""

    name = rule_fields.rule_name()


KIND = removing_kind(REMOVE_LIMIT, "limits", "name", "daily-out", Schema())
