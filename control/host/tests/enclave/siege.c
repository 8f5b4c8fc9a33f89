/* What an app can do to other processes with system calls alone. Says what worked, a line each; the processes named as
   arguments are spared. Without arguments it kills every process that it may. In C, since Rust's standard library has
   no calls for it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **spared) {
    if (count == 1)
        return kill(-1, SIGKILL);
    static const int signals[] = {SIGKILL, SIGSEGV, SIGSTOP};
    for (int pid = 1; pid <= 40000; pid++) {
        int spare = pid == getpid();
        for (int at = 1; at < count; at++)
            spare |= pid == atoi(spared[at]);
        if (spare)
            continue;
        /* The first process of this namespace takes no signals from within it. */
        for (int at = 0; at < 3; at++)
            if (kill(pid, signals[at]) == 0 && pid != 1)
                printf("signal %d to %d\n", signals[at], pid);
        if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0)
            printf("tracing %d\n", pid);
    }
    if (socket(AF_VSOCK, SOCK_STREAM, 0) >= 0)
        printf("vsock\n");
    return 0;
}
