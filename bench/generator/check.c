/* Finds payloads in a receiver's bytes, whatever framing stands between them, and checks every one. */
#define _GNU_SOURCE
#include <string.h>

#include "gen.h"

uint64_t fill_seed(uint32_t sender, uint32_t counter, uint64_t sent) {
    uint64_t seed = ((uint64_t)sender << 32 | counter) * 0xFF51AFD7ED558CCDu ^ sent;
    seed = (seed ^ seed >> 29) * 0xC4CEB9FE1A85EC53u;
    return seed ^ seed >> 32;
}

static bool fill_is_right(const uint8_t *fill, size_t length, uint64_t seed) {
    uint64_t wrong = 0, word, want;
    size_t words = length / 8;
    for (size_t i = 0; i < words; i++) {
        memcpy(&word, fill + 8 * i, 8);
        wrong |= word ^ (seed + i * FILL_STEP);
    }
    want = seed + words * FILL_STEP;
    return !wrong && memcmp(fill + 8 * words, &want, length % 8) == 0;
}

/* Keeps the books of one sender at one receiver; returns whether the frame is new. */
static bool note(struct track *track, uint32_t counter) {
    if (counter == track->next) {
        track->next++;
        track->seen = track->seen << 1 | 1;
        return true;
    }
    if (counter > track->next) {
        uint32_t ahead = counter - track->next;
        counts.missing += ahead;
        track->seen = ahead < 63 ? track->seen << (ahead + 1) | 1 : 1;
        track->next = counter + 1;
        return true;
    }
    uint32_t behind = track->next - 1 - counter;
    if (behind < 64 && !(track->seen >> behind & 1)) {
        track->seen |= (uint64_t)1 << behind;
        counts.missing--;
        counts.reordered++;
        return true;
    }
    counts.doubled++;
    return false;
}

static void take_payload(struct member *member, const uint8_t *payload, uint64_t now) {
    uint32_t sender, counter;
    uint64_t sent;
    memcpy(&sender, payload + 8, 4);
    memcpy(&counter, payload + 12, 4);
    memcpy(&sent, payload + 16, 8);
    if (!fill_is_right(payload + PAYLOAD_HEAD, plan.size - PAYLOAD_HEAD, fill_seed(sender, counter, sent))) {
        counts.damaged++;
        return;
    }
    struct member *from = sender < plan.member_count ? &plan.members[sender] : NULL;
    if (from == member && plan.echoes) {
        counts.echoed++;
        return;
    }
    if (!from || from == member || from->group != member->group || !from->sends || counter >= from->made) {
        counts.foreign++;
        return;
    }
    if (!note(&member->tracks[from->place], counter)) return;
    counts.delivered++;
    if (sent >= measure_start && sent < measure_end) latency_add(&delays, now > sent ? now - sent : 0);
}

static void note_gap(struct member *member, size_t gap) {
    if (member->found) {
        if (plan.steady && member->gap_known && gap != member->usual_gap) counts.odd++;
        if (!plan.steady || !member->gap_known) member->usual_gap = gap;
        member->gap_known = true;
    }
    member->found = true; /* before the first one stands what the join left behind */
    member->gap = 0;
}

/* Returns where the next payload begins, or NULL. */
static uint8_t *find(struct member *member, uint8_t *at, uint8_t *end) {
    if (member->gap_known && member->gap <= member->usual_gap) {
        uint8_t *likely = at + (member->usual_gap - member->gap);
        if (likely + sizeof plan.magic <= end && memcmp(likely, plan.magic, sizeof plan.magic) == 0) return likely;
    }
    return memmem(at, (size_t)(end - at), plan.magic, sizeof plan.magic);
}

void take_bytes(struct member *member, uint8_t *data, size_t length, uint64_t now) {
    uint8_t *at = data, *end = data + length;
    for (;;) {
        uint8_t *payload = find(member, at, end);
        if (!payload) {
            /* The magic may have been cut in two. */
            size_t left = (size_t)(end - at), keep = sizeof plan.magic - 1 < left ? sizeof plan.magic - 1 : left;
            member->gap += left - keep;
            at = end - keep;
            break;
        }
        member->gap += (size_t)(payload - at);
        at = payload;
        if ((size_t)(end - at) < plan.size) break;
        note_gap(member, member->gap);
        take_payload(member, at, now);
        at += plan.size;
    }
    member->tail_length = (size_t)(end - at);
    if (member->tail_length) {
        if (!member->tail) member->tail = allocated(plan.size + sizeof plan.magic);
        memcpy(member->tail, at, member->tail_length);
    }
}
