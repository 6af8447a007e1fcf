"""What remove_limit, remove_approval and disallow_accounts share: they take a rule away."""

from marshmallow import Schema

from pipeline.kinds.kind import Kind
from pipeline.ledger import Books, Effect, Entry
from pipeline.refusal import refuse
from pipeline.settings import with_rule


def removing_kind(name: str, part: str, member: str, shown: str, schema: Schema) -> Kind:
    """A kind that takes away the rule, of this part of the settings, that its `member` names."""

    def apply(books: Books, entry: Entry) -> Effect:
        rule = entry.body[member]
        if rule not in getattr(books.settings, part):
            return refuse("unknown_rule", **{member: rule})
        books.settings = with_rule(books.settings, entry.position, part, rule, None)
        return []

    return Kind(
        name=name,
        posts=False,
        schema=schema,
        example={"kind": name, member: shown},
        apply=apply,
        alone=True,
    )
