"""Who we are to the outside: the public address and the mailbox, and the links and addresses that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Terms:
    """BASE_URL and MAIL_FROM of the deployment; no secret is in it. base_url: without a slash at its end."""

    base_url: str
    mail_from: str

    @property
    def domain(self) -> str:
        """Right-hand side of the mailbox in ASCII (IDNA), lower-case: of UIDs and Message-IDs."""
        domain = self.mail_from.rpartition("@")[2].lower()
        return domain if domain.isascii() else domain.encode("idna").decode("ascii")

    def organizer(self, tag: str) -> str:
        """``local+TAG@domain``, lower-case: organizer and Reply-To of one UID, always the same for one recipient."""
        local = self.mail_from.rpartition("@")[0].lower()
        return f"{local}+{tag}@{self.domain}"

    def service_url(self, language: str, operator: str, service: str) -> str:
        """The public page of a service, by slugs."""
        return f"{self.base_url}/{language}/{quote(operator, safe='')}/{quote(service, safe='')}"

    def manage_url(self, language: str, token: str, act: str = "") -> str:
        """A booking's page for its client. act: the part of it to go to (``reschedule``, ``cancel``, ``confirm``,
        ``proposal``); only a fragment, because a GET changes nothing."""
        return f"{self.base_url}/{language}/b/{quote(token, safe='')}" + (f"#{act}" if act else "")

    def reminders_url(self, language: str, token: str, proof: str = "") -> str:
        """Where a booking's client turns reminders off and on: a page for people, and for mail programs to POST to.
        proof: that the reader has the mail; only with it may more than this booking be spoken for."""
        return f"{self.manage_url(language, token)}/reminders" + (f"?proof={quote(proof, safe='')}" if proof else "")

    def waitlist_url(self, language: str, token: str, act: str = "") -> str:
        """A waiting client's page. act: ``accept``, ``decline`` or ``leave``, a fragment as in `manage_url`."""
        return f"{self.base_url}/{language}/w/{quote(token, safe='')}" + (f"#{act}" if act else "")

    def invite_url(self, token: str) -> str:
        """The invitation as a file."""
        return f"{self.base_url}/api/v1/bookings/{quote(token, safe='')}/invite.ics"

    def operator_url(self, booking_id: str = "") -> str:
        """The operator's dashboard, or one booking in it; needs a login, holds no token."""
        return f"{self.base_url}/operator/" + (f"bookings/{quote(booking_id, safe='')}" if booking_id else "")

    def line_url(self) -> str:
        """Those who wait, in the operator's dashboard."""
        return self.operator_url() + "line"
