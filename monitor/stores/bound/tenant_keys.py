"""Users' sessions under an application's own keys, each with a secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from monitor.core.residue import word_in
from monitor.core.tenancy import Tenant
from monitor.stores.bound.context import Bound
from monitor.stores.bound.key_values import kept_by, word_for
from monitor.stores.bound.sessions import session_key, session_keys
from monitor.stores.redis import Command
from monitor.stores.tenant_keys import OwnTenantKeys


class BoundTenantKeys(OwnTenantKeys):
    """One connection. Sessions lie there as the application keeps them, the secret in the payload's place."""

    bound: Bound

    @classmethod
    async def of(cls, bound: Bound, label: str) -> Self:
        """A new connection. Raises StoreError, or LookupError where there is no Redis or the binding no sessions."""
        session_keys(bound)
        opened = await cls.open(bound.ways, label)
        opened.ways, opened.bound = bound.ways, bound
        return opened

    def key(self, run_id: str, name: str, tenant: Tenant) -> str:
        """The application's key of one user's session."""
        return session_key(self.bound, run_id, name, user=tenant.user)

    def writing(self, key: str, tenant: Tenant, milliseconds: int) -> tuple[Command, ...]:
        """As the application does."""
        keys = session_keys(self.bound)
        words = {"user_id": word_for(self.bound, tenant.user), "session_id": word_in(key)}
        return kept_by(keys).write(key, keys.envelope.seal({"secret": tenant.secret}, words), milliseconds)

    def paths(self, key: str) -> Mapping[str, Command]:
        """As the application does, and by a script."""
        kept = kept_by(session_keys(self.bound))
        read = kept.read(key)
        return {str(read[0]): read, "EVAL": ("EVAL", f"return {kept.script_reads}", 1, key)}
