#include "latency.h"

static unsigned bucket(uint64_t value) {
    if (value < 1 << STEP_BITS) return (unsigned)value;
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - STEP_BITS;
    return (shift + 1) << STEP_BITS | (unsigned)(value >> shift & ((1 << STEP_BITS) - 1));
}

static uint64_t upper(unsigned index) {
    if (index < 1 << STEP_BITS) return index;
    unsigned shift = (index >> STEP_BITS) - 1;
    uint64_t low = (uint64_t)((index & ((1 << STEP_BITS) - 1)) | 1 << STEP_BITS) << shift;
    return low + ((uint64_t)1 << shift) - 1;
}

void latency_add(struct latency *latency, uint64_t nanoseconds) {
    latency->count++;
    if (nanoseconds > latency->max) latency->max = nanoseconds;
    latency->buckets[bucket(nanoseconds)]++;
}

double latency_us(const struct latency *latency, double share) {
    uint64_t target = (uint64_t)(share * (double)latency->count + 0.5), below = 0;
    for (unsigned i = 0; i < LATENCY_BUCKETS && latency->count; i++) {
        below += latency->buckets[i];
        if (below && below >= target) {
            uint64_t value = upper(i) < latency->max ? upper(i) : latency->max;
            return (double)value / 1000;
        }
    }
    return 0;
}
