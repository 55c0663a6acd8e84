"""Reads the same from a stand-in over every dialect that odoo-client-lib speaks, and prints it as JSON: what
each dialect read, or what it refused. Host, port, database, login, password and API key come as arguments."""

import json
import sys

import odoolib

host, port, database, login, password, key = sys.argv[1:]


def connect(protocol, secret):
    return odoolib.get_connection(hostname=host, protocol=protocol, port=int(port), database=database, login=login,
                                  password=secret)


def read(protocol, secret):
    connection = connect(protocol, secret)
    try:
        connection.check_login()
        moves, partners = connection.get_model("account.move"), connection.get_model("res.partner")
        return {
            "context": connection.get_user_context(),
            "search": moves.search([["move_type", "=", "in_invoice"]], 0, 3, "id desc"),
            "read": moves.read([2], ["name", "partner_id", "amount_total", "invoice_line_ids"]),
            "search_read": moves.search_read(domain=[["id", "<", 4]], fields=["name", "date"], order="id desc"),
            "count": partners.search_count([["is_company", "=", True]]),
        }
    except Exception as error:
        return type(error).__name__


print(json.dumps({
    "by key": {protocol: read(protocol, key) for protocol in ["xmlrpc", "jsonrpc", "json2"]},
    "by password": {protocol: read(protocol, password) for protocol in ["xmlrpc", "jsonrpc", "json2"]},
    "by neither": {protocol: read(protocol, "0" * 40) for protocol in ["xmlrpc", "jsonrpc", "json2"]},
}))
