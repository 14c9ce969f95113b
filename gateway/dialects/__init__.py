"""The public APIs that we speak, one package each, in the order in which they may claim a request."""

from gateway.dialects.cloudevents.dialect import CLOUDEVENTS
from gateway.dialects.nozle.dialect import NOZLE
from gateway.dialects.stripe.dialect import STRIPE

DIALECTS = (CLOUDEVENTS, STRIPE, NOZLE)
