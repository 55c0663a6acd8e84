"""Reads from a stand-in with OdooRPC, and prints what it read as JSON. Host, port, database, login and
password come as arguments."""

import json
import sys

import odoorpc

host, port, database, login, password = sys.argv[1:]
odoo = odoorpc.ODOO(host, port=int(port))


def refused(method, *args):
    try:
        method(*args)
    except odoorpc.error.RPCError as error:
        return str(error)
    return None


before = refused(odoo.login, database, login, "wrong")
odoo.login(database, login, password)
Move, Partner = odoo.env["account.move"], odoo.env["res.partner"]
first = Move.browse(1)
print(json.dumps({
    "version": odoo.version,
    "wrong password": before,
    "user": [odoo.env.uid, odoo.env.user.name, odoo.env.user.login, odoo.env.lang],
    "fields": {model: sorted(odoo.env[model].fields_get()) for model in
               ["account.move", "account.move.line", "res.partner", "product.product"]},
    "first": {
        "name": first.name,
        "date": str(first.date),
        "total": first.amount_total,
        "written": str(first.write_date),
        "partner": [first.partner_id.id, first.partner_id.name],
        "currency": first.currency_id.name,
        "lines": [[line.id, line.name, line.product_id.id or None, line.price_subtotal, line.tax_ids.ids]
                  for line in first.invoice_line_ids],
    },
    "search": Move.search([("move_type", "in", ["in_invoice"])], limit=3, order="id desc"),
    "read": Move.read([2, 999_999, 1], ["name", "partner_id"]),
    "search_read": odoo.execute_kw("res.partner", "search_read", [[]], {"fields": ["name"], "limit": 3}),
    "archived": [Partner.search_count([]), Partner.with_context(active_test=False).search_count([])],
    "write": refused(Move.write, [1], {"ref": "x"}),
    "unknown model": refused(lambda: odoo.env["no.such.model"]),
    "logged out": odoo.logout(),
}))
