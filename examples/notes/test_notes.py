"""python3 -m unittest"""

import http.client
import json
import socket
import tempfile
import threading
import unittest
from pathlib import Path

import notes


class NotebookTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_notes_are_files_and_outlive_the_program(self):
        notebook = notes.Notebook(self.folder)
        number = notebook.add("bread, größe")
        self.assertEqual((self.folder / f"{number}.txt").read_text("utf-8"), "bread, größe")
        again = notes.Notebook(self.folder)
        self.assertEqual(again.get(number), "bread, größe")
        self.assertEqual(again.add("milk"), number + 1)

    def test_what_was_never_finished_is_no_note(self):
        (self.folder / "7.unfinished").write_text("half")
        (self.folder / "readme.txt").write_text("not mine")
        self.assertEqual(notes.Notebook(self.folder).find(""), [])

    def test_a_removed_note_is_gone_and_its_number_is_not_used_again(self):
        notebook = notes.Notebook(self.folder)
        first = notebook.add("one")
        notebook.add("two")
        self.assertTrue(notebook.remove(first))
        self.assertFalse(notebook.remove(first))
        self.assertEqual(notebook.add("three"), 3)
        self.assertFalse((self.folder / f"{first}.txt").exists())

    def test_there_is_a_limit(self):
        notebook = notes.Notebook(self.folder)
        notebook.notes = {number: "x" for number in range(notes.MAX_NOTES)}
        with self.assertRaises(notes.Full):
            notebook.add("one too many")


class ServerTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        notebook = notes.Notebook(folder.name)
        self.http_port = self.serve(notes.HttpHandler, notebook)
        self.search_port = self.serve(notes.SearchHandler, notebook)

    def serve(self, handler, notebook):
        server = notes.Server(0, handler, notebook)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return server.server_address[1]

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=10)
        self.addCleanup(connection.close)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    def search(self, line):
        with socket.create_connection(("127.0.0.1", self.search_port), timeout=10) as connection:
            connection.sendall(line)
            return connection.makefile("rb").read()

    def test_a_note_is_written_read_found_and_removed(self):
        self.assertEqual(self.request("POST", "/notes", "buy\nbread".encode()), (201, {"id": 1}))
        self.assertEqual(self.request("GET", "/notes/1"), (200, {"id": 1, "text": "buy\nbread"}))
        self.assertEqual(self.request("GET", "/notes"), (200, [{"id": 1, "text": "buy\nbread"}]))
        self.assertEqual(self.search(b"bread\n"), b"1 buy bread\n")
        self.assertEqual(self.search(b"milk\r\n"), b"")
        self.assertEqual(self.request("DELETE", "/notes/1"), (200, {"id": 1}))
        self.assertEqual(self.request("GET", "/notes/1")[0], 404)

    def test_bad_requests_get_a_reason(self):
        for method, path, body, headers, status in [
            ("POST", "/elsewhere", b"x", {}, 404),
            ("POST", "/notes", b"", {}, 400),
            ("POST", "/notes", b"\xff", {}, 400),
            ("POST", "/notes", b"", {"Content-Length": str(notes.MAX_NOTE + 1)}, 413),
            ("POST", "/notes", b"", {"Content-Length": "9" * 5000}, 413),
            ("POST", "/notes", b"", {"Content-Length": "-1"}, 411),
            ("GET", "/notes/../etc/passwd", None, {}, 404),
            ("GET", "/notes/" + "9" * 5000, None, {}, 404),
            ("DELETE", "/notes/x", None, {}, 404),
        ]:
            with self.subTest(path=path, status=status):
                answer = self.request(method, path, body, headers)
                self.assertEqual(answer[0], status)
                self.assertTrue(answer[1]["error"])

    def test_a_search_is_one_short_line(self):
        self.assertTrue(self.search(b"x" * (notes.MAX_WORD + 1)).startswith(b"error: "))


if __name__ == "__main__":
    unittest.main()
