/* The physical anchor: what one core can relay when nothing but relaying is done.
 *
 * One process, one thread, epoll. Whatever a WebSocket client sends goes to all others in its channel
 * ("/" or "/c/NAME"). No tokens, no rights, no counters, no metrics.
 *
 *   relay              one send() for each frame and receiver, at once: what most servers do
 *   relay --coalesce   what arrives in one turn of the loop goes out in one write per receiver
 *
 * Prints its port. A client that cannot take what is meant for it is buffered up to BACKLOG_MAX bytes
 * and then cut; everything else is bounded too. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "websocket.h"

enum {
    MESSAGE_MAX = 256 * 1024,      /* bytes of one message */
    HEADER_MAX = 14,               /* of a client's frame */
    READ_MAX = 256 * 1024,         /* bytes taken from one client in a turn */
    TURN_MAX = 4 * 1024 * 1024,    /* bytes of a channel's turn before it goes out early */
    BACKLOG_MAX = 8 * 1024 * 1024, /* bytes that wait for a slow client before it is cut */
    REQUEST_MAX = 8 * 1024,
    EVENTS = 512,
};

struct channel;

struct client {
    int fd;
    bool open, dead, wants_out, in_turn;
    struct channel *channel;
    size_t place; /* among the channel's members */
    uint8_t *rest; /* an incomplete frame or request */
    size_t rest_length;
    uint8_t *backlog;
    size_t backlog_start, backlog_length, backlog_room;
    struct client *next_dead;
};

struct part {
    struct client *sender;
    size_t start, length;
};

struct channel {
    char name[CHANNEL_MAX];
    struct client **members;
    size_t count, room;
    uint8_t *turn;
    size_t turn_length, turn_room;
    struct part *parts;
    size_t part_count, part_room;
    bool dirty;
    struct channel *next, *next_dirty;
};

static int loop;
static bool coalesce;
static struct channel *channels, *dirty;
static struct client *graveyard;
static uint8_t incoming[MESSAGE_MAX + HEADER_MAX + READ_MAX];

static void *checked(void *memory) {
    if (!memory) {
        perror("relay: out of memory");
        exit(1);
    }
    return memory;
}

static void *grown(void *memory, size_t *room, size_t need, size_t item) {
    if (need <= *room) return memory;
    while (*room < need) *room = *room ? *room * 2 : 16;
    return checked(realloc(memory, *room * item));
}

static void watch(struct client *client, bool out) {
    if (client->wants_out == out) return;
    client->wants_out = out;
    struct epoll_event event = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = client};
    epoll_ctl(loop, EPOLL_CTL_MOD, client->fd, &event);
}

/* Memory goes at the end of the turn: events and parts may still name the client. */
static void cut(struct client *client) {
    if (client->dead) return;
    client->dead = true;
    epoll_ctl(loop, EPOLL_CTL_DEL, client->fd, NULL);
    close(client->fd);
    struct channel *channel = client->channel;
    if (channel) {
        struct client *last = channel->members[--channel->count];
        channel->members[client->place] = last;
        last->place = client->place;
    }
    client->next_dead = graveyard;
    graveyard = client;
}

/* --- out --- */

static void keep(struct client *client, const struct iovec *parts, size_t count, size_t skip) {
    size_t total = 0;
    for (size_t i = 0; i < count; i++) total += parts[i].iov_len;
    if (client->backlog_length + total - skip > BACKLOG_MAX) {
        fprintf(stderr, "relay: cut a client that does not read\n");
        cut(client);
        return;
    }
    if (client->backlog_start > client->backlog_length) {
        memmove(client->backlog, client->backlog + client->backlog_start, client->backlog_length);
        client->backlog_start = 0;
    }
    client->backlog = grown(client->backlog, &client->backlog_room,
                            client->backlog_start + client->backlog_length + total - skip, 1);
    for (size_t i = 0; i < count; i++) {
        size_t past = skip < parts[i].iov_len ? skip : parts[i].iov_len;
        size_t length = parts[i].iov_len - past;
        uint8_t *end = client->backlog + client->backlog_start + client->backlog_length;
        memcpy(end, (uint8_t *)parts[i].iov_base + past, length);
        client->backlog_length += length;
        skip -= past;
    }
    watch(client, client->backlog_length > 0);
}

static void send_parts(struct client *client, const struct iovec *parts, size_t count) {
    enum { AT_ONCE = 1024 }; /* IOV_MAX */
    while (count && !client->dead) {
        size_t some = count < AT_ONCE ? count : AT_ONCE, total = 0;
        for (size_t i = 0; i < some; i++) total += parts[i].iov_len;
        ssize_t sent = 0;
        if (client->backlog_length == 0) {
            struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = some};
            sent = some == 1 ? send(client->fd, parts->iov_base, parts->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
                             : sendmsg(client->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent < 0 && errno != EAGAIN && errno != EINTR) {
                cut(client);
                return;
            }
            if (sent < 0) sent = 0;
        }
        if ((size_t)sent < total) keep(client, parts, some, (size_t)sent);
        parts += some;
        count -= some;
    }
}

static void send_bytes(struct client *client, const void *data, size_t length) {
    struct iovec part = {(void *)data, length};
    send_parts(client, &part, 1);
}

static void drain(struct client *client) {
    ssize_t sent = send(client->fd, client->backlog + client->backlog_start, client->backlog_length,
                        MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR) cut(client);
        return;
    }
    client->backlog_start += (size_t)sent;
    client->backlog_length -= (size_t)sent;
    if (client->backlog_length == 0) {
        free(client->backlog);
        client->backlog = NULL;
        client->backlog_start = client->backlog_room = 0;
        watch(client, false);
    }
}

/* A sender gets the turn without its own frames; neighbouring parts of others go as one. */
static void send_others(struct channel *channel, struct client *client) {
    static struct iovec *others;
    static size_t room;
    size_t count = 0;
    others = grown(others, &room, channel->part_count, sizeof *others);
    for (size_t i = 0; i < channel->part_count; i++) {
        struct part *part = &channel->parts[i];
        uint8_t *start = channel->turn + part->start;
        if (part->sender == client) continue;
        if (count && (uint8_t *)others[count - 1].iov_base + others[count - 1].iov_len == start)
            others[count - 1].iov_len += part->length;
        else
            others[count++] = (struct iovec){start, part->length};
    }
    send_parts(client, others, count);
}

static void flush(struct channel *channel) {
    if (!channel->part_count) return;
    for (size_t i = channel->count; i-- > 0;) { /* backwards: a cut moves the last member here */
        struct client *client = channel->members[i];
        if (client->in_turn) send_others(channel, client);
        else send_bytes(client, channel->turn, channel->turn_length);
    }
    for (size_t i = 0; i < channel->part_count; i++) channel->parts[i].sender->in_turn = false;
    channel->part_count = channel->turn_length = 0;
}

/* --- in --- */

static void relay(struct client *client, uint8_t first, const uint8_t *data, size_t length, const uint8_t *mask) {
    struct channel *channel = client->channel;
    channel->turn =
        grown(channel->turn, &channel->turn_room, channel->turn_length + HEADER_MAX + length, 1);
    size_t start = channel->turn_length;
    size_t header = put_header(channel->turn + start, first, length);
    unmask(channel->turn + start + header, data, length, mask);
    channel->turn_length += header + length;
    if (!coalesce) {
        for (size_t i = channel->count; i-- > 0;)
            if (channel->members[i] != client) send_bytes(channel->members[i], channel->turn, channel->turn_length);
        channel->turn_length = 0;
        return;
    }
    channel->parts = grown(channel->parts, &channel->part_room, channel->part_count + 1, sizeof *channel->parts);
    channel->parts[channel->part_count++] = (struct part){client, start, header + length};
    client->in_turn = true;
    if (!channel->dirty) {
        channel->dirty = true;
        channel->next_dirty = dirty;
        dirty = channel;
    }
    if (channel->turn_length > TURN_MAX) flush(channel);
}

/* Takes one frame; returns its length, 0 when it is incomplete. */
static size_t take_frame(struct client *client, const uint8_t *data, size_t have) {
    if (have < 6) return 0;
    uint64_t length = data[1] & 127;
    size_t at = 2;
    if (length == 126) {
        length = (uint64_t)data[2] << 8 | data[3];
        at = 4;
    } else if (length == 127) {
        if (have < 10) return 0;
        length = 0;
        for (int i = 2; i < 10; i++) length = length << 8 | data[i];
        at = 10;
    }
    uint8_t opcode = data[0] & 15;
    bool whole = data[0] & 0x80 && !(data[0] & 0x70), masked = data[1] & 0x80;
    if (!whole || !masked || length > MESSAGE_MAX || (opcode >= 8 && length > 125)) {
        cut(client);
        return 0;
    }
    if (have < at + 4 + length) return 0;
    const uint8_t *mask = data + at;
    if (opcode == 1 || opcode == 2) {
        relay(client, data[0], mask + 4, length, mask);
    } else if (opcode == 8 || opcode == 9) {
        uint8_t answer[2 + 125];
        size_t header = put_header(answer, opcode == 8 ? 0x88 : 0x8A, length);
        unmask(answer + header, mask + 4, length, mask);
        send_bytes(client, answer, header + length);
        if (opcode == 8) cut(client);
    }
    return at + 4 + length;
}

static void enter(struct client *client, const char *name) {
    struct channel *channel = channels;
    while (channel && strcmp(channel->name, name) != 0) channel = channel->next;
    if (!channel) {
        channel = checked(calloc(1, sizeof *channel));
        strcpy(channel->name, name);
        channel->next = channels;
        channels = channel;
    }
    channel->members =
        grown(channel->members, &channel->room, channel->count + 1, sizeof *channel->members);
    client->place = channel->count;
    channel->members[channel->count++] = client;
    client->channel = channel;
    client->open = true;
}

/* Takes a whole request; returns its length, 0 when it is incomplete. */
static size_t take_request(struct client *client, const uint8_t *data, size_t have) {
    const uint8_t *end = memmem(data, have, "\r\n\r\n", 4);
    size_t length = end ? (size_t)(end - data) + 4 : 0;
    if (!end) {
        if (have > REQUEST_MAX) cut(client);
        return 0;
    }
    char request[REQUEST_MAX + 1], name[CHANNEL_MAX], answer[ANSWER_MAX];
    int accepted = 0;
    if (length > REQUEST_MAX) {
        cut(client);
        return 0;
    }
    memcpy(request, data, length);
    request[length] = 0;
    size_t size = answer_handshake(request, name, answer, &accepted);
    send_bytes(client, answer, size);
    if (accepted && !client->dead) enter(client, name);
    else cut(client);
    return length;
}

static void receive(struct client *client) {
    size_t have = client->rest_length, at = 0;
    if (have) memcpy(incoming, client->rest, have);
    ssize_t got = recv(client->fd, incoming + have, READ_MAX, MSG_DONTWAIT);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) cut(client);
        return;
    }
    have += (size_t)got;
    while (at < have && !client->dead) {
        size_t taken = client->open ? take_frame(client, incoming + at, have - at)
                                    : take_request(client, incoming + at, have - at);
        if (!taken) break;
        at += taken;
    }
    free(client->rest);
    client->rest = NULL;
    client->rest_length = client->dead ? 0 : have - at;
    if (client->rest_length) {
        client->rest = checked(malloc(client->rest_length));
        memcpy(client->rest, incoming + at, client->rest_length);
    }
}

/* --- the loop --- */

static void welcome(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct client *client = checked(calloc(1, sizeof *client));
        client->fd = fd;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
        epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
    }
}

static void end_turn(void) {
    for (struct channel *channel = dirty; channel; channel = channel->next_dirty) {
        channel->dirty = false;
        flush(channel);
    }
    dirty = NULL;
    while (graveyard) {
        struct client *client = graveyard;
        graveyard = client->next_dead;
        free(client->rest);
        free(client->backlog);
        free(client);
    }
}

int main(int argc, char **argv) {
    coalesce = argc > 1 && strcmp(argv[1], "--coalesce") == 0;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 4096) ||
        getsockname(listener, (struct sockaddr *)&address, &length)) {
        perror("relay: cannot listen");
        return 1;
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
    epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(loop, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;
            if (!client) {
                welcome(listener);
                continue;
            }
            if (events[i].events & EPOLLOUT && !client->dead) drain(client);
            if (events[i].events & ~EPOLLOUT && !client->dead) receive(client);
        }
        end_turn();
    }
}
