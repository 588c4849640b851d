/* The load generator: what its parts share.
 *
 * A payload is `size` bytes, in the machine's byte order where it matters to nobody else:
 *
 *   0   8  the magic of this run, random
 *   8   4  the sender's number in the plan
 *   12  4  the sender's counter, from 0
 *   16  8  when it was sent, or was to be sent: nanoseconds of the monotonic clock
 *   24  …  fill: each 8 bytes are seed + i * FILL_STEP, the seed made of the three fields before;
 *          so every bit of a payload is either checked or decides what is checked */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "latency.h"

enum { PAYLOAD_HEAD = 24, PAYLOAD_MIN = 32, PAYLOAD_MAX = 64 * 1024, READ_MAX = 256 * 1024 };

/* What one receiver knows of one sender. */
struct track {
    uint32_t next;
    uint64_t seen; /* bit i: next - 1 - i has come */
};

struct member {
    int fd;
    uint32_t number; /* in the plan */
    uint32_t place;  /* in its group */
    struct group *group;
    bool sends, reads, closed, wants_out;
    /* in */
    struct track *tracks; /* by the sender's place */
    uint8_t *tail;        /* bytes that are not a whole payload yet */
    size_t tail_length;
    size_t gap;       /* bytes since the last payload */
    size_t usual_gap; /* what stood between the last two */
    bool found, gap_known;
    /* out */
    uint8_t *shape; /* prefix, room for a payload, suffix */
    size_t prefix, length;
    int counter_at, counter_bytes;
    uint64_t counter_first;
    uint32_t made; /* frames */
    uint64_t written; /* bytes */
    uint8_t *pending;
    size_t pending_start, pending_length;
};

struct group {
    struct member **members;
    uint32_t count, room;
    bool moved; /* a receiver got something: a window may have opened */
};

struct plan {
    uint8_t magic[8];
    size_t size;
    uint32_t window; /* frames in flight; 0: paced */
    double rate;     /* frames per second and sender */
    double warm_up, measure, silence;
    bool steady, echoes;
    struct member *members;
    uint32_t member_count;
    struct group *groups;
    uint32_t group_count;
    int *pids;
    uint32_t pid_count;
};

struct counts {
    uint64_t delivered; /* whole, right, for the first time */
    uint64_t missing, doubled, reordered, damaged, foreign, odd, echoed;
    uint64_t held_back; /* frames that were due but had no room, because the server took nothing */
    uint64_t closed, stalled_closed;
};

extern struct plan plan;
extern struct counts counts;
extern struct latency delays, lags;
extern uint64_t measure_start, measure_end; /* nanoseconds */

uint64_t now_ns(void);
void *allocated(size_t bytes);
_Noreturn void die(const char *what);

/* gen.c */
void watch_out(struct member *member, bool out);
void lose(struct member *member, uint64_t *counter); /* its connection is gone */

/* plan.c */
void read_plan(void);

/* check.c: data begins with the member's tail */
void take_bytes(struct member *member, uint8_t *data, size_t length, uint64_t now);
uint64_t fill_seed(uint32_t sender, uint32_t counter, uint64_t sent);
#define FILL_STEP 0x9E3779B97F4A7C15u

/* send.c */
void start_sending(uint64_t start);
uint64_t next_due(void); /* UINT64_MAX: nothing is planned */
void send_due(uint64_t now);
void fill_windows(void);
void push(struct member *member);
bool anything_pending(void);
uint64_t accepted_by(const struct member *member);

/* usage.c */
struct usage {
    double own, own_waited;       /* CPU seconds of this process; seconds it was ready and had no core */
    double servers, servers_waited; /* the same of all pids of the plan */
};
struct usage usage_now(void);
