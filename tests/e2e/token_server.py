"""A token server for docker-registry: distribution's token specification, with JWTs that it signs itself.

token_server.py PORT-FILE KEY.pem CERT.pem ISSUER SERVICE USER PASSWORD
Anyone may pull; the user may push. `offline_token=true` brings an identity token, which POST takes as a refresh token.
The requests are written to standard output, one a line, without what is secret.
"""

import base64, hashlib, json, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

port_file, key, cert, issuer, service, user, password = sys.argv[1:]
IDENTITY = "identity-of-" + hashlib.sha256(password.encode()).hexdigest()
der = subprocess.run(["openssl", "x509", "-in", cert, "-outform", "DER"], check=True, capture_output=True).stdout


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token(subject, scopes):
    access = []
    for scope in " ".join(scopes).split():
        kind, name, actions = scope.split(":", 1)[0], scope.split(":", 1)[1].rsplit(":", 1)[0], scope.rsplit(":", 1)[1]
        allowed = [action for action in actions.split(",") if subject or action == "pull"]
        access.append({"type": kind, "name": name, "actions": allowed})
    now = int(time.time())
    claims = {"iss": issuer, "sub": subject, "aud": service, "exp": now + 300, "nbf": now - 10, "iat": now,
              "jti": str(time.monotonic_ns()), "access": access}
    head = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
    signed = b64(json.dumps(head).encode()) + b"." + b64(json.dumps(claims).encode())
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=signed, check=True,
                               capture_output=True).stdout
    return (signed + b"." + b64(signature)).decode()


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        query = parse_qs(urlsplit(self.path).query)
        header = self.headers.get("Authorization", "")
        subject = ""
        if header:
            if header != "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode():
                self.note("GET refused", query)
                return self.answer(401, {"details": "incorrect username or password"})
            subject = user
        self.note("GET " + (subject or "anyone"), query)
        document = {"token": token(subject, query.get("scope", [])), "expires_in": 300}
        if query.get("offline_token") == ["true"] and subject:
            document["refresh_token"] = IDENTITY
        self.answer(200, document)

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if form.get("grant_type") != ["refresh_token"] or form.get("refresh_token") != [IDENTITY]:
            self.note("POST refused", form)
            return self.answer(400, {"error": "invalid_grant"})
        self.note("POST " + user, form)
        self.answer(200, {"access_token": token(user, form.get("scope", [])), "expires_in": 300})

    def note(self, what, fields):
        print(what, *fields.get("scope", []), flush=True)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Handler)
with open(port_file + ".new", "w") as file:
    file.write(str(server.server_port))
subprocess.run(["mv", port_file + ".new", port_file], check=True)
server.serve_forever()
