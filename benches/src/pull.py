"""Pulls what pawl-sync pulls, page by page as it does; with a path, into SQLite as it does."""
import json, sqlite3, sys, xmlrpc.client

asked = json.load(sys.stdin)
common = xmlrpc.client.ServerProxy(asked["url"] + "/xmlrpc/2/common")
odoo = xmlrpc.client.ServerProxy(asked["url"] + "/xmlrpc/2/object")
database, password = asked["database"], asked["password"]
uid = common.authenticate(database, asked["login"], password, {})
sink = sqlite3.connect(asked["sink"], isolation_level=None) if asked["sink"] else None
if sink:
    sink.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")

KINDS = {"integer": "INTEGER", "boolean": "INTEGER", "float": "REAL", "monetary": "REAL"}
WHOLE = ("integer", "float", "monetary")


def columns(fields):
    for name, kind in fields:
        if kind == "many2one":
            yield from ((name, "INTEGER"), (name + "_name", "TEXT"))
        else:
            yield name, KINDS.get(kind, "TEXT")


def row(record, fields):
    yield record["id"]
    for name, kind in fields:
        value = record[name]
        if kind == "many2one":
            yield from (value[0], value[1] or "") if value else (None, None)
        elif kind == "boolean":
            yield int(value)
        elif value is False:
            yield None
        elif kind == "x2many":
            yield json.dumps(value, separators=(",", ":"))
        else:
            yield value


pulled = 0
for model in asked["models"]:
    fields = model["fields"]
    if sink:
        table = model["model"].replace(".", "_")
        all_columns = list(columns(fields))
        names = [f'"{name}"' for name, _ in all_columns]
        kinds = ", ".join(f'"{name}" {kind}' for name, kind in all_columns)
        sink.execute(f'CREATE TABLE "{table}" (id INTEGER NOT NULL PRIMARY KEY, {kinds})')
        upsert = (
            f'INSERT INTO "{table}" AS old (id, {", ".join(names)}) VALUES (?{", ?" * len(names)}) '
            f'ON CONFLICT (id) DO UPDATE SET {", ".join(f"{n} = excluded.{n}" for n in names)} '
            f'WHERE {" OR ".join(f"old.{n} IS NOT excluded.{n}" for n in names)}'
        )
    context = {"active_test": False, "lang": "en_US"} if model["archived"] else {"lang": "en_US"}
    named = {"fields": [name for name, _ in fields], "limit": asked["page"], "offset": 0}
    named.update(order="id asc", context=context)
    last = 0
    while True:
        domain = model["domain"] + [["id", ">", last]]
        page = odoo.execute_kw(database, uid, password, model["model"], "search_read", [domain], named)
        pulled += len(page)
        if sink and page:
            sink.execute("BEGIN IMMEDIATE")
            sink.executemany(upsert, [tuple(row(record, fields)) for record in page])
            sink.execute("COMMIT")
        if len(page) < asked["page"]:
            break
        last = page[-1]["id"]
print(pulled)
