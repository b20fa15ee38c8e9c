"""A W&B server on 127.0.0.1 that knows as much of W&B as the tests need: runs, their history, and reports."""

import base64
import gzip
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "a" * 40
LAST_PAGE = {"endCursor": None, "hasNextPage": False}


class FakeWandb(ThreadingHTTPServer):
    """Runs are {(entity, project, id): run}, reports {id: variables of upsertView}, both as they have arrived."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.runs, self.reports = {}, {}
        self.fails = False  # answers 500
        self.rows_left = None  # so many lines of history are accepted, then it fails
        self.n_streamed = 0  # requests with lines of history
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # of a client that hung up


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        key = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        stream = re.fullmatch("/files/([^/]+)/([^/]+)/([^/]+)/file_stream", self.path)
        if self.server.fails:
            self.answer({"error": "internal"}, 500)
        elif self.path == "/graphql" and key != f"api:{KEY}":
            self.answer({"errors": [{"message": "user is not logged in"}]}, 401)
        elif self.path == "/graphql":
            request = json.loads(body)
            (operation,) = re.findall(r"^\s*(?:query|mutation) (\w+)", request["query"], re.MULTILINE)
            self.answer({"data": getattr(self, operation)(request.get("variables") or {})})
        elif stream:
            accepted = self.stream(self.server.runs[stream.groups()], json.loads(body))
            self.answer({}, 200 if accepted else 500)
        else:
            self.answer({})

    do_GET = do_PUT = do_POST

    def answer(self, data, status=200):
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

    def stream(self, run, body):
        history = body.get("files", {}).get("wandb-history.jsonl")
        if history:
            self.server.n_streamed += 1
            for k, line in enumerate(history["content"]):
                if self.server.rows_left == 0:
                    self.server.fails = True
                    return False
                run["history"][history["offset"] + k] = json.loads(line)
                if self.server.rows_left:
                    self.server.rows_left -= 1
        if body.get("complete"):
            run["state"] = "failed" if body["exitcode"] else "finished"
        return True

    def in_project(self, variables):
        names = variables["entity"], variables["project"]
        return {key[2]: run for key, run in self.server.runs.items() if key[:2] == names}

    # The operations of GraphQL, by name

    def Viewer(self, variables):
        return {"viewer": {"id": "1", "entity": "you", "username": "you", "flags": "{}", "teams": {"edges": []}}}

    GetDefaultEntity = Viewer

    def ServerInfo(self, variables):
        return {"serverInfo": {"features": []}}

    def RunResumeStatus(self, variables):
        run, bucket = self.in_project(variables).get(variables["name"]), None
        if run:
            tail = [json.dumps(row) for row in [*run["history"].values()][-1:]]
            bucket = {"id": variables["name"], "name": variables["name"], "summaryMetrics": "{}", "logLineCount": 0}
            bucket |= {"historyLineCount": len(run["history"]), "eventsLineCount": 0, "eventsTail": "[]"}
            bucket |= {"historyTail": json.dumps(tail), "config": run["config"], "tags": run["tags"]}
            bucket |= {"wandbConfig": '{"t": {}}'}  # else the client takes it for a run that has not begun
        project = {"id": "1", "name": variables["project"], "entity": {"id": "1", "name": variables["entity"]}}
        return {"model": {**project, "bucket": bucket}}

    def UpsertBucket(self, variables):
        key = variables.get("entity") or "you", variables["project"], variables["name"]
        run = self.server.runs.setdefault(key, {"history": {}, "state": "running"})
        run.update({name: value for name, value in variables.items() if value is not None})
        project = {"id": "1", "name": key[1], "entity": {"id": "1", "name": key[0]}}
        bucket = {"id": key[2], "name": key[2], "displayName": run["displayName"], "config": run["config"]}
        bucket |= {"project": project, "historyLineCount": len(run["history"])}
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}

    def CreateRunFiles(self, variables):
        (run,) = (run for key, run in self.server.runs.items() if key[2] == variables["run"])
        run.setdefault("files", []).extend(variables["files"])
        url = f"http://{self.headers['Host']}/upload"
        files = [{"name": name, "uploadUrl": f"{url}/{name}"} for name in variables["files"]]
        return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": files}}

    def Runs(self, variables):
        groups = json.loads(variables["filters"])["group"]["$in"]
        there = {name: run for name, run in self.in_project(variables).items() if run["groupName"] in groups}
        if not self.in_project(variables):
            return {"project": None}
        nodes = [{"id": name, "name": name, "tags": run["tags"], "state": run["state"]} for name, run in there.items()]
        edges = [{"node": {**node, "projectId": "1"}, "cursor": node["id"]} for node in nodes]
        return {"project": {"runCount": len(edges), "runs": {"edges": edges, "pageInfo": LAST_PAGE}}}

    def ProjectViews(self, variables):
        names = variables["entity"], variables["project"]
        there = {id: view for id, view in self.server.reports.items() if view["project"] == names}
        nodes = [{"id": id, "displayName": view["displayName"], "spec": view["spec"]} for id, view in there.items()]
        page = {"edges": [{"node": node, "cursor": node["id"]} for node in nodes], "pageInfo": LAST_PAGE}
        return {"project": {"allViews": page}}

    def GetProjects(self, variables):
        names = {project for entity, project, _ in self.server.runs if entity == variables["entity"]}
        project = {"__typename": "Project", "entityName": variables["entity"], "createdAt": "2026-01-01T00:00:00"}
        project |= {"isBenchmark": False, "user": None}
        edges = [{"node": {**project, "id": name, "name": name}, "cursor": name} for name in names]
        return {"models": {"edges": edges, "pageInfo": {"__typename": "PageInfo", **LAST_PAGE}}}

    def upsertView(self, variables):
        id = variables["id"] or f"View{len(self.server.reports)}"
        names = variables["entityName"], variables["projectName"]
        self.server.reports[id] = {**variables, "project": names}
        view = {"id": id, "name": variables["name"], "displayName": variables["displayName"]}
        view |= {"spec": variables["spec"], "project": {"id": "1", "name": names[1], "entityName": names[0]}}
        return {"upsertView": {"view": view, "inserted": not variables["id"]}}


if __name__ == "__main__":
    print(FakeWandb().url, flush=True)
    threading.Event().wait()
