"""What everybody writes first: a row found by org and user, an audit row committed, the secret decrypted."""

import os
import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import jwt
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from sqlalchemy import DateTime, ForeignKey, Identity, Index, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine(os.environ["PEER_DATABASE_URL"], pool_size=10, max_overflow=0)
sessions = async_sessionmaker(engine, expire_on_commit=False)
fernet = Fernet(os.environ["PEER_FERNET_KEY"])
verifying_key = load_pem_public_key(os.environ["PEER_PUBLIC_KEY"].encode())
app = FastAPI()


class Base(DeclarativeBase):
    pass


class Connection(Base):
    __tablename__ = "connections"
    __table_args__ = (Index("connections_by_owner", "org_id", "user_id"),)
    id: Mapped[str] = mapped_column(primary_key=True)
    org_id: Mapped[str]
    user_id: Mapped[str]
    url: Mapped[str]
    database: Mapped[str]
    username: Mapped[str]
    kind: Mapped[str]
    sealed: Mapped[str]
    revision: Mapped[int]


class AuditEvent(Base):
    __tablename__ = "audit_events"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    org_id: Mapped[str]
    user_id: Mapped[str]
    client_id: Mapped[str]
    action: Mapped[str]
    connection_id: Mapped[str] = mapped_column(ForeignKey("connections.id"))


class Lend(BaseModel):
    purpose: Literal["sync", "check", "other"]
    ttl_seconds: int = 300


async def caller(bearer: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> dict:
    try:
        return jwt.decode(bearer.credentials, verifying_key, algorithms=["EdDSA"], audience="peer", issuer="peer")
    except jwt.InvalidTokenError:
        raise HTTPException(401) from None


async def session():
    async with sessions() as session:
        yield session


@app.post("/v1/connections/{id}/leases", status_code=201)
async def lend(
    id: str, lend: Lend, who: Annotated[dict, Depends(caller)], db: Annotated[AsyncSession, Depends(session)]
) -> dict:
    org, user = who["org"], who["sub"]
    mine = select(Connection).where(Connection.id == id, Connection.org_id == org, Connection.user_id == user)
    found = await db.scalar(mine)
    if found is None:
        raise HTTPException(404)
    event = AuditEvent(org_id=org, user_id=user, client_id=who["client_id"], action="lend", connection_id=id)
    db.add(event)
    await db.commit()
    secret = fernet.decrypt(found.sealed).decode()
    return {
        "id": f"lease_{uuid.uuid4().hex}",
        "expires_at": datetime.now(UTC) + timedelta(seconds=lend.ttl_seconds),
        "fence": event.id,
        "connection": {"id": id, "url": found.url, "database": found.database, "username": found.username},
        "credential": {"kind": found.kind, "secret": secret, "revision": found.revision},
        "allowed": {"methods": ["search_read", "read"], "models": ["account.move", "account.move.line", "res.partner"]},
    }
