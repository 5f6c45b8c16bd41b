"""A life of mpesa: see the package."""

from __future__ import annotations

import json
from datetime import timedelta
from random import Random

from connectors import samples
from connectors.base import Request
from tests.connectors.streams import START, Json, Step, step


def stream(seed: int) -> list[Step]:
    """Payments to a pay bill, some told twice over: by the push that asked for them and by the confirmation."""
    chance = Random(seed)
    confirmation: Json = json.loads(samples.load("mpesa", "c2b.confirmation"))
    push: Json = json.loads(samples.load("mpesa", "stk.paid"))
    row: Json = json.loads(samples.api("mpesa", "payments_page_1"))["Response"][0][0]
    query: Json = json.loads(samples.api("mpesa", "push_query"))
    steps: list[Step] = []
    rows: list[Json] = []
    for number in range(chance.randrange(1, 5)):
        at = START + timedelta(minutes=10 * number)
        receipt, amount = f"RKL{seed}X{number}", f"{chance.randrange(1, 900)}.00"
        local = (at + timedelta(hours=3)).strftime("%Y%m%d%H%M%S")
        rows.append(
            {
                **row,
                "transactionId": receipt,
                "amount": amount,
                "trxDate": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "billreference": f"INV-{seed}" if chance.random() < 0.7 else "",
            }
        )
        checkout = f"ws_CO_{seed}_{number}"

        def reply(request: Request, shown: tuple[Json, ...] = tuple(rows), checkout: str = checkout) -> Json:
            if "stkpush" in request.url:
                return {**query, "CheckoutRequestID": checkout}
            asked = request.json
            assert isinstance(asked, dict)
            page = shown[int(asked["OffSetValue"]) :][:2]
            return {"ResponseCode": "1000" if page else "1001", "Response": [list(page)]}

        told: list[Json] = []
        if chance.random() < 0.8:
            told.append({**confirmation, "TransID": receipt, "TransAmount": amount, "TransTime": local})
        if not told or chance.random() < 0.5:
            said = json.loads(json.dumps(push))
            said["Body"]["stkCallback"] |= {"CheckoutRequestID": checkout}
            said["Body"]["stkCallback"]["CallbackMetadata"]["Item"] = [
                {"Name": "TransactionDate", "Value": int(local)},
                {"Name": "MpesaReceiptNumber", "Value": receipt},
                {"Name": "Amount", "Value": float(amount)},
            ]
            told.append(said)
        for place, said in enumerate(told):
            steps.append(
                step("mpesa", said, reply=reply, asked_at=at + timedelta(minutes=1 + place), external_id="600966")
            )
    return steps
