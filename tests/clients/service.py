"""A service that asks for tokens with a key of its own, as any program can: RFC 7523 by hand, on `cryptography`
alone. Arguments: the vault's URL, the client's name, and the file of its private key (PKCS#8 PEM)."""

import base64
import json
import sys
import time
import urllib.parse
import urllib.request
import uuid

from cryptography.hazmat.primitives.serialization import load_pem_private_key

url, client, key_file = sys.argv[1:]


def part(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def assertion():
    with open(key_file, "rb") as file:
        key = load_pem_private_key(file.read(), password=None)
    now = int(time.time())
    claims = {"iss": client, "sub": client, "aud": f"{url}/v1/token", "iat": now, "exp": now + 60}
    claims["jti"] = str(uuid.uuid4())
    message = b".".join(part(json.dumps(each).encode()) for each in ({"alg": "EdDSA", "typ": "JWT"}, claims))
    return (message + b"." + part(key.sign(message))).decode()


form = {
    "grant_type": "client_credentials",
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    "client_assertion": assertion(),
}
request = urllib.request.Request(f"{url}/v1/token", urllib.parse.urlencode(form).encode())
with urllib.request.urlopen(request) as answer:
    token = json.load(answer)
assert (token["token_type"], token["expires_in"]) == ("Bearer", 900), token
request = urllib.request.Request(f"{url}/v1/connections")
request.add_header("Authorization", f"Bearer {token['access_token']}")
with urllib.request.urlopen(request) as answer:
    print(answer.status, json.load(answer)["items"])
