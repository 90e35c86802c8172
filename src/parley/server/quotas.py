"""Quotas: by which rates and budgets a message is measured, and a new session.

Rates are for those who were given a session or a login. The owner has none, and where no access key is asked for
everyone is the owner. Budgets hold for whomever they are set for: a model's for the owner as well.
"""

from parley.core.quota import Budget, Quota, Rate
from parley.core.turn import Request
from parley.server import visit
from parley.server.auth import Principal
from parley.server.config import Config, Store
from parley.server.logins import GUESTS


class Quotas:
    """Those of one deployment."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._conversations = store.conversations
        self._rates = store.rates

    async def of_post(self, who: Principal, conversation: str, request: Request) -> Quota:
        """What a message is measured by, in the script that accepts it."""
        budgets = []
        if self._config.limits.session_tokens and not who.privileged:
            budgets.append(Budget(who.owner, self._config.limits.session_tokens))
        if self._config.model_tokens:
            model = await self._model_of(conversation, request)
            if most := self._config.model_tokens.get(model):
                budgets.append(Budget(f"model:{model}", most))
        return Quota(self._rates_of(who), tuple(budgets))

    async def allow_session(self) -> None:
        """Let whoever asks make one more session.

        Raises:
            TooFast: too many were made for one address.
        """
        address, most = visit.current().address, self._config.limits.sessions
        if address and most and self._config.access_key:
            await self._rates.take(Rate(f"sessions:{address}", most))

    def _rates_of(self, who: Principal) -> tuple[Rate, ...]:
        if who.privileged or not self._config.access_key:
            return ()
        limits, address = self._config.limits, visit.current().address
        found = []
        # Guests are many, and have one name; whoever sends them is the owner of the deployment.
        if limits.posts and who != GUESTS:
            found.append(Rate(who.owner, limits.posts))
        if limits.posts_per_address and address:
            found.append(Rate(f"address:{address}", limits.posts_per_address))
        return tuple(found)

    async def _model_of(self, conversation: str, request: Request) -> str:
        """The model that will be asked, as worker.brief settles it."""
        about = (await self._conversations.snapshot(conversation, turns=0)).about
        name = request.assistant or about.assistant
        own = next((choice.model for choice in self._config.assistants if choice.name == name), "")
        return request.model or about.model or own or self._config.default
