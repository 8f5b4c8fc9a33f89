"""A notebook over HTTP, and a second port that finds notes: standard library alone.

Every note is a file. Requests may be slow, broken or huge: each is bounded in bytes, each wait in
time, and none stops the program.
"""

import json
import os
import socketserver
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path

HTTP_PORT = 8080
SEARCH_PORT = 9000
MAX_NOTE = 16 * 1024  # bytes
MAX_NOTES = 1000
MAX_WORD = 256  # bytes
MAX_CONNECTIONS = 64  # over both ports
PATIENCE = 10  # seconds for each read and write


class Full(Exception):
    """No more notes fit."""


class Notebook:
    """Notes in a folder, one file each, named by their numbers."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.lock = threading.Lock()
        # A file under another name is a note that was never finished.
        self.notes = {
            int(path.stem): path.read_text("utf-8")
            for path in self.folder.glob("*.txt")
            if path.stem.isdecimal()
        }
        self.next = max(self.notes, default=0) + 1

    def add(self, text):
        """Keeps a note and returns its number. A reader of the folder sees all of it or nothing."""
        with self.lock:
            if len(self.notes) >= MAX_NOTES:
                raise Full
            number = self.next
            unfinished = self.folder / f"{number}.unfinished"
            unfinished.write_text(text, "utf-8")
            unfinished.rename(self.folder / f"{number}.txt")
            self.notes[number] = text
            self.next = number + 1
            return number

    def remove(self, number):
        """Whether there was such a note."""
        with self.lock:
            if self.notes.pop(number, None) is None:
                return False
            (self.folder / f"{number}.txt").unlink()
            return True

    def get(self, number):
        """The note's text, or None."""
        return self.notes.get(number)

    def find(self, word):
        """Numbers and texts of all notes with this word in them, oldest first."""
        with self.lock:
            return sorted((number, text) for number, text in self.notes.items() if word in text)


class Server(socketserver.ThreadingTCPServer):
    """Hands each connection to a thread, and closes those beyond the limit at once."""

    allow_reuse_address = True
    daemon_threads = True
    seats = threading.BoundedSemaphore(MAX_CONNECTIONS)

    def __init__(self, port, handler, notebook):
        self.notebook = notebook
        super().__init__(("0.0.0.0", port), handler)

    def process_request(self, request, client_address):
        if not self.seats.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could be started
            self.seats.release()
            raise

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.seats.release()

    def handle_error(self, request, client_address):
        # Clients go away and fall silent: a line, not a traceback.
        print(f"notes: a request was not answered: {sys.exc_info()[1]!r}", file=sys.stderr)


class HttpHandler(BaseHTTPRequestHandler):
    """`GET`, `POST /notes`, `GET`, `DELETE /notes/<number>`, and `GET /about`."""

    timeout = PATIENCE
    server_version = "notes"
    sys_version = ""

    def do_GET(self):
        notebook = self.server.notebook
        if self.path == "/about":
            self.answer({"user": os.getuid(), "groups": sorted(os.getgroups()), "folder": str(notebook.folder)})
        elif self.path == "/notes":
            self.answer([{"id": number, "text": text} for number, text in notebook.find("")])
        elif (text := notebook.get(self.number())) is not None:
            self.answer({"id": self.number(), "text": text})
        else:
            self.refuse(HTTPStatus.NOT_FOUND, f"there is nothing at {self.path}")

    def do_POST(self):
        if self.path != "/notes":
            return self.refuse(HTTPStatus.NOT_FOUND, "notes are posted to /notes")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            return self.refuse(HTTPStatus.LENGTH_REQUIRED, "a note needs a Content-Length")
        if len(length) > 9 or int(length) > MAX_NOTE:
            return self.refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a note has at most {MAX_NOTE} bytes")
        body = self.rfile.read(int(length))
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            return self.refuse(HTTPStatus.BAD_REQUEST, "a note is UTF-8 text")
        if len(body) < int(length) or not text.strip():
            return self.refuse(HTTPStatus.BAD_REQUEST, "the note is empty or shorter than its Content-Length")
        try:
            number = self.server.notebook.add(text)
        except Full:
            return self.refuse(HTTPStatus.INSUFFICIENT_STORAGE, f"{MAX_NOTES} notes are all that fit")
        return self.answer({"id": number}, HTTPStatus.CREATED)

    def do_DELETE(self):
        if self.server.notebook.remove(self.number()):
            self.answer({"id": self.number()})
        else:
            self.refuse(HTTPStatus.NOT_FOUND, f"there is no note at {self.path}")

    def number(self):
        """The number in `/notes/<number>`; 0, which no note has, for every other path."""
        folder, _, name = self.path.rpartition("/")
        return int(name) if folder == "/notes" and name.isdecimal() and len(name) < 10 else 0

    def refuse(self, status, why):
        self.answer({"error": why}, status)

    def answer(self, value, status=HTTPStatus.OK):
        body = json.dumps(value, ensure_ascii=False).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing: what people note down is not for logs."""


class SearchHandler(socketserver.StreamRequestHandler):
    """Reads one line, a word, and answers with a line `<number> <text>` for each note that has it."""

    timeout = PATIENCE

    def handle(self):
        line = self.rfile.readline(MAX_WORD + 1)
        if not line.endswith(b"\n"):
            self.wfile.write(b"error: a word and a newline are expected\n")
            return
        for number, text in self.server.notebook.find(line.decode("utf-8", "replace").strip()):
            self.wfile.write(f"{number} {' '.join(text.split())}\n".encode())


def main(folder):
    notebook = Notebook(folder)
    search = Server(SEARCH_PORT, SearchHandler, notebook)
    threading.Thread(target=search.serve_forever, daemon=True).start()
    http = Server(HTTP_PORT, HttpHandler, notebook)
    print(f"notes: listening on ports {HTTP_PORT} and {SEARCH_PORT}", flush=True)
    http.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: notes.py FOLDER")
    main(sys.argv[1])
