"""A gRPC service on a Unix socket, and a client that calls it by HTTPS.

  grpc_echo.py serve SOCKET
  grpc_echo.py call PORT ROOT_CERTIFICATE
"""

import sys
from concurrent import futures

import grpc


def one(request, context):
    if request == b"fail":
        context.abort(grpc.StatusCode.INTERNAL, "on purpose")
    return b"echo " + request


def many(request, context):
    return iter(request.split(b" "))


class Service(grpc.GenericRpcHandler):
    def service(self, call):
        if call.method == "/test.Echo/One":
            return grpc.unary_unary_rpc_method_handler(one)
        return grpc.unary_stream_rpc_method_handler(many)


def serve(path):
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Service(),))
    server.add_insecure_port("unix:" + path)
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


def call(port, root):
    with open(root, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    # Not every resolver knows that names below `localhost` are this machine.
    name = "hello.localhost"
    options = [("grpc.ssl_target_name_override", name), ("grpc.default_authority", name)]
    channel = grpc.secure_channel(f"127.0.0.1:{port}", credentials, options)
    print("one:", channel.unary_unary("/test.Echo/One")(b"hi", timeout=20).decode())
    parts = channel.unary_stream("/test.Echo/Many")(b"a b c", timeout=20)
    print("many:", " ".join(part.decode() for part in parts))
    try:
        channel.unary_unary("/test.Echo/One")(b"fail", timeout=20)
    except grpc.RpcError as error:
        print("status:", error.code().name, error.details())


{"serve": serve, "call": call}[sys.argv[1]](*sys.argv[2:])
