"""What the OpenAPI document says of reconciliations beside their routes."""

from typing import Any

from marshmallow import Schema

from api import reconciling, schemas_reconciliations
from pipeline.reconcile.readers.mapping import MappingSchema

RECONCILED = {
    "in": "path",
    "name": "code",
    "description": "The code of the account that is reconciled.",
    "example": "world:banks",
}
MATCH = {"in": "path", "name": "number", "description": "The match's number.", "example": "4"}
MAPPING = {
    "in": "path",
    "name": "name",
    "description": "The mapping's name.",
    "example": "our-bank",
}
MAPPING_EXAMPLE = {
    "columns": {
        "booking_date": "Booked",
        "amount": "Amount",
        "balance": "Balance",
        "counterparty": "Name",
        "description": ["Text"],
        "reference": "Reference",
    },
    "date_format": "DD.MM.YYYY",
    "decimal": ",",
    "thousands": ".",
    "delimiter": ";",
    "skip_lines": 2,
}
_FILE = {"schema": {"type": "string", "format": "binary"}}
FILE_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/octet-stream": _FILE,
        "application/xml": _FILE,
        "application/x-ofx": _FILE,
        "text/csv": _FILE,
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string", "format": "binary"}},
            }
        },
    },
}

# The components of requests and answers; each of the first is listed in pages, too.
LISTS: tuple[type[Schema], ...] = (
    schemas_reconciliations.ExternalStatementSchema,
    schemas_reconciliations.ExternalLineSchema,
    schemas_reconciliations.ReconciledPostingSchema,
    schemas_reconciliations.MatchSchema,
)
SHAPES: tuple[type[Schema], ...] = (
    schemas_reconciliations.ReconciliationSchema,
    schemas_reconciliations.ExternalStatementsSchema,
    schemas_reconciliations.MatchingSchema,
    schemas_reconciliations.BookingSchema,
    schemas_reconciliations.CsvMappingSchema,
    schemas_reconciliations.CsvMappingsSchema,
    reconciling.MatchRequestSchema,
    reconciling.ExclusionRequestSchema,
    reconciling.UndoRequestSchema,
    reconciling.BookingRequestSchema,
    reconciling.WindowsSchema,
    MappingSchema,
)
