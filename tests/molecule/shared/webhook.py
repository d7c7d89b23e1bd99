"""A webhook on the controller, for a host's alerts."""

import http.server
import json
import threading

from hosts.lab import Lab


class Webhook:
    """Takes what is posted, for the time of a ``with`` block.

    :ivar list posted: (path, headers, JSON)
    """

    def __init__(self, host, status=200):
        self.posted, self.status = [], status
        self._port = 8000 + host.number

    def __enter__(self):
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.posted.append((self.path, dict(self.headers), json.loads(body.decode("utf-8"))))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.HTTPServer((Lab.current().client("controller").address(4), self._port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
