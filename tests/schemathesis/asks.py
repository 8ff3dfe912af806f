"""What schemathesis cannot know of the session API: who asks, and in which session.

Each request comes from an address of its own, since the limits are not what is tried here. A request that takes
the token of a participant has that of a live session, which is also the one that it names where it is meant to be
right. Sessions that schemathesis has made itself keep their own tokens.
"""

import itertools
import json
import os
import urllib.request

import schemathesis

BASE = os.environ["SESSION_API_URL"]
ADMIN_KEY = os.environ["SESSION_API_ADMIN_KEY"]
NUMBERS = itertools.count(1)
# By the id of a session, group or match: the token that opens it.
TOKENS = {}
# What was sent with a token of ours. A request whose credentials are meant to be wrong keeps them.
GIVEN = set()
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def address():
    number = next(NUMBERS)
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def post(path, body=None, token=None):
    headers = {"X-Forwarded-For": address()}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(f"{BASE}/api/v1{path}", data, headers, method="POST")
    with OPENER.open(request, timeout=60) as answer:
        return json.load(answer)


def begin(mode="single"):
    """A session that lives, at a table of its own."""
    table = f"t{next(NUMBERS)}"
    made = post("/sessions", {"app": "after_hours", "mode": mode, "user_id": "ann", "table_token": table})
    token = made["participant"]["token"]
    TOKENS[made["session"]["id"]] = token
    return made, token


def match(made, token):
    """The host and somebody else like each other."""
    session = made["session"]["id"]
    post(f"/sessions/{session}/participants", {"access_method": "direct", "user_id": "bob"})
    found = post("/after-hours/matches", {"session_id": session, "user_ids": ["ann", "bob"]}, token)
    return found["match"]["id"]


def is_right(case):
    """Whether a request is meant to be answered."""
    return case.meta is not None and case.meta.generation.mode.is_positive


def stands_alone(case):
    """Those of a sequence say themselves what they are about."""
    return is_right(case) and case.meta.phase.name.value != "stateful"


def place(case, made, token):
    """Names what is there."""
    path = case.operation.path
    if path.startswith("/api/v1/groups/"):
        case.path_parameters["id"] = made["group"]["id"]
    elif "/matches/{id}" in path:
        case.path_parameters["id"] = match(made, token)
    elif "{id}" in path:
        case.path_parameters["id"] = made["session"]["id"]
    elif "{table_token}" in path:
        case.path_parameters["table_token"] = made["session"]["table_token"]
    if isinstance(case.body, dict) and "session_id" in case.body:
        case.body["session_id"] = made["session"]["id"]
        if "user_ids" in case.body:
            post(
                f"/sessions/{made['session']['id']}/participants",
                {"access_method": "direct", "user_id": "bob"},
            )
            case.body["user_ids"] = ["ann", "bob"]


@schemathesis.auth(refresh_interval=None).apply_to(
    schemathesis.openapi.require_security_scheme("participant")
)
class Participant:
    def get(self, case, context):
        return begin("dual" if context.operation.path.endswith("/join-code") else "single")

    def set(self, case, data, context):
        made, token = data
        case.headers["Authorization"] = f"Bearer {token}"
        GIVEN.add(case.headers["Authorization"])
        if stands_alone(case):
            place(case, made, token)


@schemathesis.auth(refresh_interval=None).apply_to(
    schemathesis.openapi.require_security_scheme("admin")
)
class Admin:
    def get(self, case, context):
        return ADMIN_KEY

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"
        if stands_alone(case) and "{id}" in case.operation.path:
            place(case, *begin())


@schemathesis.hook
def before_call(context, case, kwargs):
    case.headers["X-Forwarded-For"] = address()
    path = case.operation.path
    known = TOKENS.get((case.path_parameters or {}).get("id"))
    if known and case.headers.get("Authorization") in GIVEN:
        case.headers["Authorization"] = f"Bearer {known}"
    if is_right(case) and path.endswith(("/join-codes/redeem", "/join-dual")):
        # Random digits would only be counted as guesses.
        made, _ = begin("dual")
        case.body["code"] = made["pairing"]["code"]
        if case.body.get("table_token") is not None:
            case.body["table_token"] = made["session"]["table_token"]
    elif stands_alone(case) and path.endswith("/participants"):
        case.path_parameters["id"] = begin()[0]["session"]["id"]
    elif stands_alone(case) and "/invites/{token}" in path:
        made, token = begin()
        invite = post(f"/sessions/{made['session']['id']}/invites", token=token)
        case.path_parameters["token"] = invite["invite"]["token"]


@schemathesis.hook
def after_call(context, case, response):
    """Remembers the tokens of what was made."""
    if response.status_code != 201:
        return
    path, said = case.operation.path, response.json()
    if path == "/api/v1/sessions" and said["participant"]["token"]:
        for thing in ("session", "group"):
            TOKENS[said[thing]["id"]] = said["participant"]["token"]
    elif path.endswith("/matches"):
        TOKENS[said["match"]["id"]] = case.headers["Authorization"].removeprefix("Bearer ")
