"""Makes the peer's keys, tables and ROWS rows that hold SECRET; prints its settings and a token: seed.py ROWS SECRET"""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime, timedelta

import jwt
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

signing_key = Ed25519PrivateKey.generate()
public_key = signing_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
made = {"PEER_PUBLIC_KEY": public_key.decode(), "PEER_FERNET_KEY": Fernet.generate_key().decode()}
os.environ.update(made)

from app import Base, Connection, engine, fernet, sessions  # noqa: E402


async def main(rows: int, secret: str) -> None:
    address = {"url": "https://acme.odoo.com", "database": "acme", "kind": "password", "revision": 1}
    async with engine.begin() as db:
        await db.run_sync(Base.metadata.create_all)
    async with sessions.begin() as db:
        for n in range(rows):
            sealed = fernet.encrypt(secret.encode()).decode()
            db.add(Connection(id=f"conn_{n}", org_id="acme", user_id="ada", username=f"bot{n}", sealed=sealed, **address))
    await engine.dispose()


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
claims = {"iss": "peer", "aud": "peer", "sub": "ada", "org": "acme", "client_id": "cli", "roles": ["worker"]}
claims["exp"] = datetime.now(UTC) + timedelta(hours=2)
print(json.dumps(made | {"token": jwt.encode(claims, signing_key, algorithm="EdDSA")}))
