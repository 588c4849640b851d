"""The tables. A change here needs a migration beside it; a test compares the two.

Times are Unix seconds. Certificates stand in clear, because a token is verified with the certificate itself;
of API keys there is only a hash, which is enough to recognize them.
"""

from __future__ import annotations

from .apps import Account, AnsweredRequest, ApiKey, App, Certificate, Table
from .hooks import Webhook, WebhookDelivery, WebhookNode, WebhookOpen
from .records import AuditEntry, AuditHead, Call, CallMember, Chore, Run
from .rules import AddressBlock, BanRow, RevocationRow, RuleVersion

__all__ = [
    "Account",
    "AddressBlock",
    "AnsweredRequest",
    "ApiKey",
    "App",
    "AuditEntry",
    "AuditHead",
    "BanRow",
    "Call",
    "CallMember",
    "Certificate",
    "Chore",
    "RevocationRow",
    "RuleVersion",
    "Run",
    "Table",
    "Webhook",
    "WebhookDelivery",
    "WebhookNode",
    "WebhookOpen",
]
