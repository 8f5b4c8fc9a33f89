/* Sends PID 1 every signal there is, many times over, then listens on port 8001 as the app of these tests does. In C,
   since Rust's standard library has no call for it. */
#include <arpa/inet.h>
#include <signal.h>
#include <unistd.h>

int main(void) {
    for (int at = 0; at < 100000; at++)
        kill(1, 1 + at % 64);
    struct sockaddr_in here = {
        .sin_family = AF_INET, .sin_port = htons(8001), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 16))
        return 1;
    for (;;)
        close(accept(listener, 0, 0));
}
