"""The same without an ORM: asyncpg as it is, one statement each for the row and for the audit row."""

import os
import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import asyncpg
import jwt
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

FIND = """SELECT url, database, username, kind, sealed, revision FROM connections
    WHERE id = $1 AND org_id = $2 AND user_id = $3"""
RECORD = """INSERT INTO audit_events (org_id, user_id, client_id, action, connection_id)
    VALUES ($1, $2, $3, 'lend', $4) RETURNING id"""

fernet = Fernet(os.environ["PEER_FERNET_KEY"])
verifying_key = load_pem_public_key(os.environ["PEER_PUBLIC_KEY"].encode())


@asynccontextmanager
async def pooled(app: FastAPI):
    address = os.environ["PEER_DATABASE_URL"].replace("+asyncpg", "")
    async with asyncpg.create_pool(address, min_size=10, max_size=10) as app.state.pool:
        yield


app = FastAPI(lifespan=pooled)


class Lend(BaseModel):
    purpose: Literal["sync", "check", "other"]
    ttl_seconds: int = 300


async def caller(bearer: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> dict:
    try:
        return jwt.decode(bearer.credentials, verifying_key, algorithms=["EdDSA"], audience="peer", issuer="peer")
    except jwt.InvalidTokenError:
        raise HTTPException(401) from None


@app.post("/v1/connections/{id}/leases", status_code=201)
async def lend(id: str, lend: Lend, who: Annotated[dict, Depends(caller)]) -> dict:
    org, user = who["org"], who["sub"]
    async with app.state.pool.acquire() as db:
        found = await db.fetchrow(FIND, id, org, user)
        if found is None:
            raise HTTPException(404)
        # committed by itself, as every statement outside a transaction
        fence = await db.fetchval(RECORD, org, user, who["client_id"], id)
    secret = fernet.decrypt(found["sealed"]).decode()
    return {
        "id": f"lease_{uuid.uuid4().hex}",
        "expires_at": datetime.now(UTC) + timedelta(seconds=lend.ttl_seconds),
        "fence": fence,
        "connection": {"id": id, "url": found["url"], "database": found["database"], "username": found["username"]},
        "credential": {"kind": found["kind"], "secret": secret, "revision": found["revision"]},
        "allowed": {"methods": ["search_read", "read"], "models": ["account.move", "account.move.line", "res.partner"]},
    }
