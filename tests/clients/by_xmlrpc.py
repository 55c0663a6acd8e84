"""Reads everything from a stand-in with Python's own xmlrpc.client, as any integration would, and prints
what it read as JSON. URL, database, login and password come as arguments."""

import json
import sys
from xmlrpc.client import Fault, ServerProxy

MODELS = ["account.move", "account.move.line", "res.partner", "product.product", "res.currency", "account.tax"]

url, database, login, password = sys.argv[1:]
common = ServerProxy(url + "/xmlrpc/2/common")
models = ServerProxy(url + "/xmlrpc/2/object")
uid = common.authenticate(database, login, password, {})


def call(model, method, *args, **named):
    return models.execute_kw(database, uid, password, model, method, list(args), named)


def refused(method, *args):
    try:
        method(*args)
    except Fault as fault:
        return [fault.faultCode, fault.faultString]
    return None


def everything(model):
    fields = sorted(call(model, "fields_get", [], attributes=["type"]))
    records, last = {}, 0
    while True:
        page = call(model, "search_read", [["id", ">", last]], fields, order="id asc", limit=500,
                    context={"active_test": False})
        for record in page:
            last = record.pop("id")
            records[last] = record
        if len(page) < 500:
            return records


print(json.dumps({
    "version": common.version(),
    "version of the old path": ServerProxy(url + "/xmlrpc/common").version(),
    "uid": uid,
    "login": common.login(database, login, password),
    "wrong password": common.authenticate(database, login, "wrong", {}),
    "records": {model: everything(model) for model in MODELS},
    "ids": call("account.move", "search", [["move_type", "=", "out_refund"]], 2, 3),
    "count": call("account.move", "search_count", [["move_type", "=", "out_refund"]]),
    "count of partners": call("res.partner", "search_count", []),
    "read": call("account.move", "read", [3, 999_999, 1], ["name"]),
    "without fields": [refused(call, "account.move", "read", [1]), sorted(call("res.currency", "read", [1])[0])],
    "write": refused(call, "account.move", "write", [1], {"ref": "x"}),
    "wrong password later": refused(models.execute_kw, database, uid, "wrong", "account.move", "read", [[1]]),
    "no such model": refused(call, "no.such.model", "search", []),
}))
