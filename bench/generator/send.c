/* Makes frames and offers them to the server: when a window has room, or when their time has come. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "gen.h"

enum { PENDING_MAX = 4 * 1024 * 1024 };

static struct member **senders; /* those who do, in the plan's order */
static uint32_t sender_count;
static uint64_t pace_start, pace_next; /* the schedule: frame number n is due at start + n / (rate * senders) */
static double pace_step;               /* nanoseconds */

static void make_frame(struct member *member, uint8_t *out, uint64_t sent) {
    uint32_t counter = member->made++;
    memcpy(out, member->shape, member->length);
    uint64_t value = member->counter_first + counter;
    for (int i = member->counter_bytes - 1; member->counter_at >= 0 && i >= 0; i--) {
        out[member->counter_at + i] = (uint8_t)value;
        value >>= 8;
    }
    uint8_t *payload = out + member->prefix;
    memcpy(payload, plan.magic, sizeof plan.magic);
    memcpy(payload + 8, &member->number, 4);
    memcpy(payload + 12, &counter, 4);
    memcpy(payload + 16, &sent, 8);
    uint64_t word = fill_seed(member->number, counter, sent);
    uint8_t *fill = payload + PAYLOAD_HEAD;
    size_t left = plan.size - PAYLOAD_HEAD;
    for (; left >= 8; left -= 8, fill += 8, word += FILL_STEP) memcpy(fill, &word, 8);
    memcpy(fill, &word, left);
}

void push(struct member *member) {
    if (member->closed || !member->pending_length) return;
    ssize_t sent = send(member->fd, member->pending + member->pending_start, member->pending_length,
                        MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR) lose(member, &counts.closed);
        else watch_out(member, true);
        return;
    }
    member->written += (uint64_t)sent;
    member->pending_start += (size_t)sent;
    member->pending_length -= (size_t)sent;
    watch_out(member, member->pending_length > 0);
}

/* Room for count more frames after what is pending; NULL when that would be too much. */
static uint8_t *room_for(struct member *member, uint32_t count) {
    size_t need = count * member->length;
    if (member->pending_length + need > PENDING_MAX) return NULL;
    if (!member->pending) member->pending = allocated(PENDING_MAX);
    if (member->pending_start + member->pending_length + need > PENDING_MAX) {
        memmove(member->pending, member->pending + member->pending_start, member->pending_length);
        member->pending_start = 0;
    }
    if (!member->pending_length) member->pending_start = 0;
    uint8_t *room = member->pending + member->pending_start + member->pending_length;
    member->pending_length += need;
    return room;
}

void start_sending(uint64_t start) {
    senders = allocated(plan.member_count * sizeof(struct member *));
    for (uint32_t i = 0; i < plan.member_count; i++)
        if (plan.members[i].sends) senders[sender_count++] = &plan.members[i];
    if (!sender_count) die("the plan has no sender");
    pace_start = start;
    if (!plan.window) pace_step = 1e9 / (plan.rate * sender_count);
    for (uint32_t i = 0; i < plan.group_count; i++) plan.groups[i].moved = true;
}

uint64_t next_due(void) {
    return plan.window ? UINT64_MAX : pace_start + (uint64_t)((double)pace_next * pace_step);
}

/* Senders take turns, so their frames are spread evenly over time. A frame carries the time at which it
 * was due: what the generator is late counts as delay, and is told apart in the lags. */
void send_due(uint64_t now) {
    for (uint64_t due; (due = next_due()) <= now && due < measure_end; pace_next++) {
        struct member *member = senders[pace_next % sender_count];
        if (member->closed) continue;
        uint8_t *room = room_for(member, 1);
        if (!room) {
            counts.held_back++;
            continue;
        }
        make_frame(member, room, due);
        if (due >= measure_start) latency_add(&lags, now - due);
        if (!member->wants_out) push(member);
    }
}

static uint32_t slowest(const struct member *sender) {
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < sender->group->count; i++) {
        const struct member *member = sender->group->members[i];
        if (member->reads && member != sender && !member->closed && member->tracks[sender->place].next < least)
            least = member->tracks[sender->place].next;
    }
    return least == UINT32_MAX ? sender->made : least;
}

/* Half a window at a time: a full one would let every sender trickle single frames. */
void fill_windows(void) {
    for (uint32_t i = 0; plan.window && i < sender_count; i++) {
        struct member *member = senders[i];
        if (!member->group->moved || member->closed || member->pending_length) continue;
        uint32_t in_flight = member->made - slowest(member);
        uint32_t free_frames = in_flight < plan.window ? plan.window - in_flight : 0;
        if (free_frames * 2 < plan.window) continue;
        while (free_frames && free_frames * member->length > PENDING_MAX) free_frames /= 2;
        uint8_t *room = room_for(member, free_frames);
        uint64_t now = now_ns();
        for (uint32_t n = 0; n < free_frames; n++) make_frame(member, room + n * member->length, now);
        push(member);
    }
    for (uint32_t i = 0; plan.window && i < plan.group_count; i++) plan.groups[i].moved = false;
}

bool anything_pending(void) {
    for (uint32_t i = 0; i < sender_count; i++)
        if (senders[i]->pending_length && !senders[i]->closed) return true;
    return false;
}

uint64_t accepted_by(const struct member *member) { return member->sends ? member->written / member->length : 0; }
