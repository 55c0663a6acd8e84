"""Reads from a stand-in over JSON-2 with odoo-json2, and prints what it read as JSON. URL, database and API
key come as arguments."""

import json
import sys

from odoo_json2 import JSON2Client
from odoo_json2.exceptions import OdooJSON2Error

url, database, key = sys.argv[1:]
odoo = JSON2Client(url, key, database=database)
Move, Partner = odoo.env["account.move"], odoo.env["res.partner"]


def refused(call, *args, **named):
    try:
        call(*args, **named)
    except OdooJSON2Error as error:
        return [type(error).__name__, error.status_code, error.raw_error.get("message")]
    return None


first = Move.search_read([], fields=["name", "partner_id", "amount_total", "write_date", "invoice_line_ids"], limit=1)
print(json.dumps({
    "version": odoo.version(),
    "first": first,
    "search": Move.search([["move_type", "=", "in_invoice"]], limit=3, order="id desc"),
    "count": Move.search_count([["move_type", "=", "in_invoice"]]),
    "read": Move.read([2, 999_999, 1], ["name", "partner_id"]),
    "fields": sorted(Partner.fields_get(attributes=["type"])),
    "archived": [Partner.search_count([]),
                 odoo.call("res.partner", "search_count", context={"active_test": False}, domain=[])],
    "user": odoo.call("res.users", "context_get"),
    "wrong key": refused(JSON2Client(url, "0" * 40, database=database).env["res.partner"].search, []),
    "wrong database": refused(JSON2Client(url, key, database="nowhere").env["res.partner"].search, []),
    "write": refused(Move.write, [1], {"ref": "x"}),
    "unknown model": refused(odoo.env["no.such.model"].search, []),
    "unknown field": refused(Move.read, [1], ["no_such_field"]),
    "bad order": refused(Move.search, [], order="id; drop"),
}))
