/* The plan comes as lines on standard input:
 *
 *   magic HEX16            size BYTES              steady 0|1      echoes 0|1
 *   windowed FRAMES        paced FRAMES_PER_SECOND
 *   seconds WARM_UP MEASURE SILENCE                silence ends the drain
 *   pid NUMBER             a process of the server, repeated
 *   member FD GROUP READS  a socket; groups are numbered from 0; READS 0: it never reads
 *   sender FD GROUP READS PREFIX SUFFIX COUNTER_AT COUNTER_BYTES    hex, "-" for none; COUNTER_AT -1: none */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen.h"

static size_t unhex(const char *text, uint8_t **bytes) {
    size_t length = strcmp(text, "-") == 0 ? 0 : strlen(text) / 2;
    *bytes = allocated(length + 1);
    for (size_t i = 0; i < length; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1) die("the plan has bytes that are not hex");
        (*bytes)[i] = (uint8_t)byte;
    }
    return length;
}

static struct member *add_member(const char *fields, int *used) {
    static uint32_t room;
    int fd, reads;
    uint32_t group;
    if (sscanf(fields, "%d %u %d%n", &fd, &group, &reads, used) != 3 || group > 1000000)
        die("the plan has a bad member");
    if (plan.member_count == room) {
        room = room ? room * 2 : 64;
        plan.members = realloc(plan.members, room * sizeof *plan.members);
        if (!plan.members) die("out of memory");
    }
    struct member *member = &plan.members[plan.member_count];
    memset(member, 0, sizeof *member);
    member->fd = fd;
    member->number = plan.member_count++;
    member->place = group; /* until join_groups */
    member->reads = reads != 0;
    if (group >= plan.group_count) plan.group_count = group + 1;
    return member;
}

static void add_sender(const char *fields) {
    char *prefix_hex = NULL, *suffix_hex = NULL;
    uint8_t *prefix, *suffix;
    int used = 0;
    struct member *member = add_member(fields, &used);
    if (sscanf(fields + used, "%ms %ms %d %d", &prefix_hex, &suffix_hex, &member->counter_at,
               &member->counter_bytes) != 4)
        die("the plan has a bad sender");
    size_t before = unhex(prefix_hex, &prefix), after = unhex(suffix_hex, &suffix);
    if (member->counter_at >= 0 && (member->counter_bytes < 1 || member->counter_bytes > 8 ||
                                    (size_t)(member->counter_at + member->counter_bytes) > before))
        die("the plan has a counter outside its prefix");
    member->sends = true;
    member->prefix = before;
    member->length = before + plan.size + after;
    member->shape = allocated(member->length);
    memcpy(member->shape, prefix, before);
    memcpy(member->shape + before + plan.size, suffix, after);
    for (int i = 0; member->counter_at >= 0 && i < member->counter_bytes; i++)
        member->counter_first = member->counter_first << 8 | prefix[member->counter_at + i];
    free(prefix), free(suffix), free(prefix_hex), free(suffix_hex);
}

static void join_groups(void) {
    plan.groups = allocated(plan.group_count * sizeof *plan.groups);
    for (uint32_t i = 0; i < plan.member_count; i++) {
        struct member *member = &plan.members[i];
        struct group *group = &plan.groups[member->place];
        if (group->count == group->room) {
            group->room = group->room ? group->room * 2 : 4;
            group->members = realloc(group->members, group->room * sizeof *group->members);
            if (!group->members) die("out of memory");
        }
        member->group = group;
        member->place = group->count;
        group->members[group->count++] = member;
    }
    for (uint32_t i = 0; i < plan.member_count; i++) {
        struct member *member = &plan.members[i];
        member->tracks = allocated(member->group->count * sizeof *member->tracks);
    }
}

void read_plan(void) {
    char *line = NULL, *hex = NULL;
    size_t room = 0;
    int flag;
    while (getline(&line, &room, stdin) > 0) {
        uint8_t *magic;
        int used, pid;
        if (sscanf(line, "magic %16ms", &hex) == 1) {
            if (unhex(hex, &magic) != sizeof plan.magic) die("the plan's magic is not 8 bytes");
            memcpy(plan.magic, magic, sizeof plan.magic);
        } else if (sscanf(line, "pid %d", &pid) == 1) {
            plan.pids = realloc(plan.pids, (plan.pid_count + 1) * sizeof *plan.pids);
            if (!plan.pids) die("out of memory");
            plan.pids[plan.pid_count++] = pid;
        } else if (strncmp(line, "member ", 7) == 0) {
            add_member(line + 7, &used);
        } else if (strncmp(line, "sender ", 7) == 0) {
            if (!plan.size) die("the plan has a sender before its size");
            add_sender(line + 7);
        } else if (sscanf(line, "steady %d", &flag) == 1) {
            plan.steady = flag;
        } else if (sscanf(line, "echoes %d", &flag) == 1) {
            plan.echoes = flag;
        } else if (sscanf(line, "size %zu", &plan.size) != 1 && sscanf(line, "windowed %u", &plan.window) != 1 &&
                   sscanf(line, "paced %lf", &plan.rate) != 1 &&
                   sscanf(line, "seconds %lf %lf %lf", &plan.warm_up, &plan.measure, &plan.silence) != 3) {
            die("the plan has a line that is not understood");
        }
    }
    free(line), free(hex);
    if (plan.size < PAYLOAD_MIN || plan.size > PAYLOAD_MAX) die("the plan's size is not 32 to 65536");
    if (!plan.window == !(plan.rate > 0)) die("the plan must be windowed or paced");
    join_groups();
}
