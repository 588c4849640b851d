/* A histogram of nanoseconds: 64 steps for each power of two, so a value is known to 1.6 %. */
#pragma once
#include <stdint.h>

enum { STEP_BITS = 6, LATENCY_BUCKETS = (64 - STEP_BITS + 1) << STEP_BITS };

struct latency {
    uint64_t count, max;
    uint64_t buckets[LATENCY_BUCKETS];
};

void latency_add(struct latency *latency, uint64_t nanoseconds);

/* Returns the value below which share (0 to 1) of all lie, in microseconds; the upper end of its bucket. */
double latency_us(const struct latency *latency, double share);
