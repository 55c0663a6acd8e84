"""The vault through the client that openapi-python-client makes of docs/openapi.json. Its folder, the vault's
URL, a backend's and a worker's token come as arguments; prints what it was told."""

import sys

sys.path.insert(0, sys.argv[1])
from vault_client import AuthenticatedClient
from vault_client.api.connections import deposit_connection, forget_connection, list_connections
from vault_client.api.leases import lend_credential, return_lease
from vault_client.models import Deposit, GiveBack, Lend, NewCredential, OdooKind, Outcome, Purpose
from vault_client.models import NewOtherCredential, OtherDeposit, OtherKind

backend, worker = (AuthenticatedClient(base_url=sys.argv[2], token=token) for token in sys.argv[3:])
deposit = Deposit(
    url="https://acme.odoo.com",
    database="acme",
    username="bot",
    credential=NewCredential(kind=OdooKind.PASSWORD, secret="open sesame"),
)
kept = deposit_connection.sync(client=backend, body=deposit)
again = deposit_connection.sync(client=backend, body=deposit)
listed = list_connections.sync(client=backend, limit=10)
loan = lend_credential.sync(kept.id, client=worker, body=Lend(purpose=Purpose.SYNC))
back = return_lease.sync_detailed(loan.id, client=worker, body=GiveBack(outcome=Outcome.OK, records=3))
gone = forget_connection.sync_detailed(kept.id, client=backend)
tunnel = OtherDeposit(credential=NewOtherCredential(kind=OtherKind.TUNNEL, secret="two\nlines"))
other = deposit_connection.sync(client=backend, body=tunnel)
print(kept.id == listed.items[0].id == again.connection_id, again.type_, loan.credential.secret)
print(back.status_code.value, gone.status_code.value, other.credential.kind.value, other.url or "nowhere")
