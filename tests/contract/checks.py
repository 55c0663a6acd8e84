"""What a description in JSON Schema can't say, and a request may be refused for all the same; and what no
test may ask for."""

import schemathesis

# A time has to lie ahead; lengths are counted in bytes, where JSON Schema counts characters; an Odoo's
# address has to be a public host.
BEYOND_SCHEMA = {"in_future", "max_bytes", "url", "single_label", "not_public", "port", "https_only"}


@schemathesis.check
def refused_only_beyond_its_schema(ctx, response, case):
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code != 422:
        return
    problem = response.json()
    if problem["type"] == "urn:pawl:problem:idempotency-key-reused":
        return
    rules = {error["rule"] for error in problem["errors"]}
    assert rules and rules <= BEYOND_SCHEMA, f"a valid request was refused for {sorted(rules)}"


@schemathesis.hook
def before_call(context, case, kwargs):
    """A deposit with a check calls the address it is given: no test leaves loopback."""
    if case.query and "check" in case.query:
        case.query["check"] = "false"
