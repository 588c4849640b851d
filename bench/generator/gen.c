/* The load generator: sends and verifies frames on sockets that somebody else has joined.
 *
 * One thread, one epoll loop, three phases: warm-up, measure, drain. The plan comes on standard input, the
 * result goes to standard output as one line of JSON. Counters cover the whole run; what stands under
 * "measured" covers the middle phase alone. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "gen.h"

enum { EVENTS = 512 };

static const uint64_t DRAIN_MAX = 60000000000u;

struct plan plan;
struct counts counts;
struct latency delays, lags;
uint64_t measure_start, measure_end;

static int loop;
static uint64_t last_arrival;
static uint8_t incoming[PAYLOAD_MAX + READ_MAX];

void die(const char *what) {
    fprintf(stderr, "generator: %s\n", what);
    exit(2);
}

void *allocated(size_t bytes) {
    void *memory = calloc(1, bytes ? bytes : 1);
    if (!memory) die("out of memory");
    return memory;
}

uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void control(int operation, struct member *member, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = member};
    if (epoll_ctl(loop, operation, member->fd, &event)) die("a socket of the plan cannot be watched");
}

static uint32_t events_of(const struct member *member) {
    uint32_t in = member->reads ? EPOLLIN : EPOLLRDHUP;
    return in | (member->wants_out ? EPOLLOUT : 0);
}

void watch_out(struct member *member, bool out) {
    if (member->wants_out == out && !member->closed) return;
    member->wants_out = out;
    control(EPOLL_CTL_MOD, member, member->closed ? EPOLLET : events_of(member));
}

void lose(struct member *member, uint64_t *counter) {
    member->closed = true;
    member->pending_length = 0;
    ++*counter;
    watch_out(member, false);
}

/* --- events --- */

static uint64_t receive(struct member *member) {
    memcpy(incoming, member->tail ? member->tail : incoming, member->tail_length);
    ssize_t got = recv(member->fd, incoming + member->tail_length, READ_MAX, MSG_DONTWAIT);
    uint64_t now = now_ns();
    if (got > 0) {
        take_bytes(member, incoming, member->tail_length + (size_t)got, now);
        member->group->moved = true;
        last_arrival = now;
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        lose(member, &counts.closed);
    }
    return now;
}

static void handle(struct member *member, uint32_t events, bool sending) {
    if (member->closed) return;
    if (events & EPOLLOUT) push(member);
    if (!member->reads) {
        if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) lose(member, &counts.stalled_closed);
        return;
    }
    if (events & ~(uint32_t)EPOLLOUT) {
        uint64_t now = receive(member);
        /* A long round of receivers must not hold up what is due. */
        if (sending && next_due() <= now) send_due(now);
    }
}

static int wait_for(struct epoll_event *events, uint64_t until) {
    uint64_t now = now_ns(), left = until > now ? until - now : 0;
    struct timespec timeout = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
    int count = (int)syscall(SYS_epoll_pwait2, loop, events, EVENTS, &timeout, NULL, 0);
    if (count < 0 && errno == ENOSYS) count = epoll_wait(loop, events, EVENTS, (int)(left / 1000000u));
    return count < 0 ? 0 : count;
}

/* Serves events until a moment; with sending, keeps windows full or the pace. */
static void run_until(uint64_t end, bool sending) {
    struct epoll_event events[EVENTS];
    for (uint64_t now = now_ns(); now < end; now = now_ns()) {
        if (sending) {
            send_due(now);
            fill_windows();
        }
        uint64_t due = sending ? next_due() : end;
        int count = wait_for(events, due < end ? due : end);
        for (int i = 0; i < count; i++) handle(events[i].data.ptr, events[i].events, sending);
    }
}

/* --- the books --- */

static uint64_t accepted(void) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < plan.member_count; i++) total += accepted_by(&plan.members[i]);
    return total;
}

static uint64_t expected(void) {
    uint64_t total = 0;
    for (uint32_t g = 0; g < plan.group_count; g++) {
        const struct group *group = &plan.groups[g];
        uint64_t readers = 0;
        for (uint32_t i = 0; i < group->count; i++) readers += group->members[i]->reads;
        for (uint32_t i = 0; i < group->count; i++)
            total += accepted_by(group->members[i]) * (readers - group->members[i]->reads);
    }
    return total;
}

/* What never came after the last that came. */
static void count_tails(void) {
    for (uint32_t g = 0; g < plan.group_count; g++) {
        const struct group *group = &plan.groups[g];
        for (uint32_t r = 0; r < group->count; r++)
            for (uint32_t s = 0; group->members[r]->reads && s < group->count; s++) {
                uint64_t sent = accepted_by(group->members[s]), next = group->members[r]->tracks[s].next;
                if (r != s && sent > next) counts.missing += sent - next;
            }
    }
}

static void drain(void) {
    const uint64_t slice = 5000000u, silence = (uint64_t)(plan.silence * 1e9);
    const uint64_t most = now_ns() + DRAIN_MAX;
    last_arrival = now_ns();
    while (now_ns() < most && now_ns() - last_arrival < silence) {
        if (!anything_pending() && counts.delivered >= expected()) {
            run_until(now_ns() + 4 * slice, false); /* something may come twice */
            return;
        }
        run_until(now_ns() + slice, false);
    }
}

static void print_latency(const char *name, const struct latency *latency) {
    printf("\"%s\": {\"p50\": %.1f, \"p95\": %.1f, \"p99\": %.1f, \"max\": %.1f}", name, latency_us(latency, 0.5),
           latency_us(latency, 0.95), latency_us(latency, 0.99), (double)latency->max / 1000);
}

#define PRINT(field) printf("\"" #field "\": %llu, ", (unsigned long long)counts.field)

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_TIMERSLACK, 1);
    measure_start = measure_end = UINT64_MAX;
    read_plan();
    loop = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < plan.member_count; i++) control(EPOLL_CTL_ADD, &plan.members[i], events_of(&plan.members[i]));

    uint64_t start = now_ns();
    measure_start = start + (uint64_t)(plan.warm_up * 1e9);
    measure_end = measure_start + (uint64_t)(plan.measure * 1e9);
    start_sending(start);
    run_until(measure_start, true);
    struct usage before = usage_now();
    uint64_t delivered = counts.delivered, taken = accepted(), begun = now_ns();
    run_until(measure_end, true);
    double seconds = (double)(now_ns() - begun) / 1e9;
    struct usage after = usage_now();
    delivered = counts.delivered - delivered;
    taken = accepted() - taken;
    drain();
    count_tails();

    printf("{\"accepted\": %llu, \"expected\": %llu, ", (unsigned long long)accepted(), (unsigned long long)expected());
    PRINT(delivered), PRINT(missing), PRINT(doubled), PRINT(reordered), PRINT(damaged), PRINT(foreign), PRINT(odd);
    PRINT(closed), PRINT(stalled_closed), PRINT(held_back), PRINT(echoed);
    printf("\"measured\": {\"seconds\": %.6f, \"accepted\": %llu, \"delivered\": %llu, ", seconds,
           (unsigned long long)taken, (unsigned long long)delivered);
    printf("\"generator_cpu\": %.6f, \"generator_waited\": %.6f, \"server_cpu\": %.6f, \"server_waited\": %.6f, ",
           after.own - before.own, after.own_waited - before.own_waited, after.servers - before.servers,
           after.servers_waited - before.servers_waited);
    print_latency("delay_us", &delays);
    printf(", ");
    print_latency("lag_us", &lags);
    printf("}}\n");
    return 0;
}
