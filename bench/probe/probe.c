/* What the machine's system calls cost, without any server: nanoseconds each, the median of many batches.
 *
 *   getppid      entering and leaving the kernel
 *   epoll_wait   with nothing to report
 *   send, recv   of 200 bytes on a TCP connection over loopback; send includes what the kernel does to
 *                bring them to the other end */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 400, CALLS = 50, SIZE = 200 };

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double difference = *(const double *)a - *(const double *)b;
    return (difference > 0) - (difference < 0);
}

static double median(double *values) {
    qsort(values, BATCHES, sizeof *values, ascending);
    return values[BATCHES / 2] / CALLS;
}

int main(void) {
    static double enter[BATCHES], wait[BATCHES], out[BATCHES], in[BATCHES];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), near = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&address, &length) ||
        connect(near, (struct sockaddr *)&address, length)) {
        perror("probe: no loopback connection");
        return 1;
    }
    int far = accept(listener, NULL, NULL), loop = epoll_create1(0);
    setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    char data[SIZE] = {0};
    for (int batch = 0; batch < BATCHES; batch++) {
        double start = now();
        for (int i = 0; i < CALLS; i++) syscall(SYS_getppid);
        enter[batch] = now() - start;
        struct epoll_event event;
        start = now();
        for (int i = 0; i < CALLS; i++) epoll_wait(loop, &event, 1, 0);
        wait[batch] = now() - start;
        start = now();
        for (int i = 0; i < CALLS; i++)
            if (send(near, data, SIZE, 0) != SIZE) return 1;
        out[batch] = now() - start;
        start = now();
        for (int i = 0; i < CALLS; i++)
            if (recv(far, data, SIZE, MSG_WAITALL) != SIZE) return 1;
        in[batch] = now() - start;
    }
    printf("{\"getppid_ns\": %.0f, \"epoll_wait_ns\": %.0f, \"send_ns\": %.0f, \"recv_ns\": %.0f}\n", median(enter),
           median(wait), median(out), median(in));
    return 0;
}
