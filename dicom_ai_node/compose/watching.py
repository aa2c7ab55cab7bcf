"""The watch: whom the node tells that somebody has to look, and by which way."""

import random
from datetime import datetime

from dicom_ai_node.compose.ground import ledger, now
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.config.watching import AnyTarget, MailTarget, WebhookTarget
from dicom_ai_node.deliver.backoff import next_try
from dicom_ai_node.domain.notice import Teller
from dicom_ai_node.watch.mail import Mail, Mailbox
from dicom_ai_node.watch.notify import Notifier, Target
from dicom_ai_node.watch.webhook import Webhook


def notifier(config: NodeConfig) -> Notifier:
    """Return the desk that tells.

    Raises
    ------
    ConfigError
        If a secret is not where the file says.
    """

    def later(attempts: int, at: datetime) -> datetime:
        return next_try(attempts, at, random.random())  # noqa: S311 - so that not all come at once

    return Notifier(
        ledger=ledger(config),
        targets={
            name: Target(about=frozenset(said.about), teller=teller(said, config))
            for name, said in config.watch.notify.items()
        },
        now=now,
        next_try=later,
    )


def teller(said: AnyTarget, config: NodeConfig) -> Teller:
    """Return the way to one target."""
    node, console = config.receive.ae_title, config.watch.console
    match said:
        case WebhookTarget():
            return Webhook(said.webhook, said.secret.value, node=node, console=console)
        case MailTarget():
            box = Mailbox(
                host=said.host,
                port=said.port,
                security=said.security,
                sender=said.sender,
                to=said.to,
                user=said.user,
                password="" if said.password is None else said.password.value,
            )
            return Mail(box, node=node, console=console)
