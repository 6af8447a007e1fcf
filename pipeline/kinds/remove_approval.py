"""remove_approval: operations wait under this rule no more. What waits already goes on waiting.

It waits for approvals under that rule itself.
"""

from pipeline.kinds import fields, rule_fields
from pipeline.kinds.approvals import REMOVE
from pipeline.kinds.remove_rule import removing_kind


class Schema(fields.OperationSchema):
    """Which rule."""

    name = rule_fields.rule_name()


KIND = removing_kind(REMOVE, "approvals", "name", "large", Schema())
