"""What a description in JSON Schema can't say, and a request may be refused for all the same; and what no
test may ask for."""

import schemathesis

# A time has to lie ahead; lengths are counted in bytes, where JSON Schema counts characters; an Odoo's
# address has to be a public host.
BEYOND_SCHEMA = {"in_future", "max_bytes", "url", "single_label", "not_public", "port", "https_only"}
# A tab or a line end is for secrets of some kinds, and which kind is replaced only the vault knows.
# What a host may be called is more than a pattern says; what may be read from Odoo is in a policy of its own, and how
# a question of it is put is Odoo's notation.
BEYOND_SCHEMA_OF = {
    "replace_credential": {"no_control_characters"},
    "change_settings": {"host", "readable"},
    # Which operands go with which field, how joints stand before what they join, domains inside of domains; that a field
    # beside id is named; and how many more there were.
    "read_records": {"readable", "path", "operand", "shape", "too_large", "not_empty", "more"},
}


@schemathesis.check
def refused_only_beyond_its_schema(ctx, response, case):
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code != 422:
        return
    problem = response.json()
    if problem["type"] == "urn:pawl:problem:idempotency-key-reused":
        return
    rules = {error["rule"] for error in problem["errors"]}
    beyond = BEYOND_SCHEMA | BEYOND_SCHEMA_OF.get(case.operation.definition.raw["operationId"], set())
    assert rules and rules <= beyond, f"a valid request was refused for {sorted(rules)}"


@schemathesis.check
def nothing_is_answered_without_a_token(ctx, response, case):
    needs_token = any(case.operation.definition.raw.get("security", []))
    has_token = any(name.lower() == "authorization" for name in response.request.headers)
    assert has_token or not needs_token or 400 <= response.status_code < 500, "answered without a token"


@schemathesis.hook
def before_call(context, case, kwargs):
    """A deposit with a check calls the address it is given: no test leaves loopback."""
    if case.query and "check" in case.query:
        case.query["check"] = "false"
