#define _GNU_SOURCE
#include "websocket.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static uint32_t rotate(uint32_t value, int by) { return value << by | value >> (32 - by); }

static void sha1_block(uint32_t state[5], const uint8_t block[64]) {
    uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 80; i++) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20) f = (b & c) | (~b & d), k = 0x5A827999;
        else if (i < 40) f = b ^ c ^ d, k = 0x6ED9EBA1;
        else if (i < 60) f = (b & c) | (b & d) | (c & d), k = 0x8F1BBCDC;
        else f = b ^ c ^ d, k = 0xCA62C1D6;
        uint32_t next = rotate(a, 5) + f + e + k + w[i];
        e = d, d = c, c = rotate(b, 30), b = a, a = next;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

/* For short texts: everything fits two blocks. */
static void sha1(const char *text, size_t length, uint8_t digest[20]) {
    uint32_t state[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    uint8_t padded[128] = {0};
    size_t total = length + 9 <= 64 ? 64 : 128;
    memcpy(padded, text, length);
    padded[length] = 0x80;
    for (int i = 0; i < 8; i++) padded[total - 1 - i] = (uint8_t)((uint64_t)length * 8 >> 8 * i);
    for (size_t at = 0; at < total; at += 64) sha1_block(state, padded + at);
    for (int i = 0; i < 20; i++) digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

static void base64_20(const uint8_t in[20], char out[29]) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    int at = 0;
    for (int i = 0; i < 21; i += 3) {
        uint32_t three = (uint32_t)in[i] << 16 | in[i + 1] << 8 | (i + 2 < 20 ? in[i + 2] : 0);
        for (int shift = 18; shift >= 0; shift -= 6) out[at++] = digits[three >> shift & 63];
    }
    out[27] = '=';
    out[28] = 0;
}

static const char *header(const char *request, const char *name, size_t *length) {
    size_t size = strlen(name);
    for (const char *line = strstr(request, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, size) == 0 && line[size] == ':') {
            const char *value = line + size + 1;
            value += strspn(value, " ");
            *length = strcspn(value, " \r");
            return value;
        }
    }
    return NULL;
}

static int path_channel(const char *request, char channel[CHANNEL_MAX]) {
    if (strncmp(request, "GET / ", 6) == 0) {
        channel[0] = 0;
        return 1;
    }
    if (strncmp(request, "GET /c/", 7) != 0) return 0;
    size_t length = strcspn(request + 7, " \r");
    if (length == 0 || length >= CHANNEL_MAX) return 0;
    memcpy(channel, request + 7, length);
    channel[length] = 0;
    return 1;
}

size_t answer_handshake(const char *request, char channel[CHANNEL_MAX], char answer[ANSWER_MAX], int *accepted) {
    char seed[64 + 37], digest_text[29];
    uint8_t digest[20];
    size_t length = 0;
    const char *key = header(request, "Sec-WebSocket-Key", &length);
    *accepted = key != NULL && length > 0 && length <= 64 && path_channel(request, channel);
    if (!*accepted)
        return (size_t)snprintf(answer, ANSWER_MAX, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    memcpy(seed, key, length);
    memcpy(seed + length, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 37);
    sha1(seed, length + 36, digest);
    base64_20(digest, digest_text);
    return (size_t)snprintf(answer, ANSWER_MAX,
                            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            "Sec-WebSocket-Accept: %s\r\n\r\n",
                            digest_text);
}

size_t put_header(uint8_t *out, uint8_t first, size_t length) {
    out[0] = first;
    if (length < 126) {
        out[1] = (uint8_t)length;
        return 2;
    }
    if (length < 65536) {
        out[1] = 126, out[2] = (uint8_t)(length >> 8), out[3] = (uint8_t)length;
        return 4;
    }
    out[1] = 127;
    for (int i = 0; i < 8; i++) out[2 + i] = (uint8_t)((uint64_t)length >> (56 - 8 * i));
    return 10;
}

void unmask(uint8_t *out, const uint8_t *in, size_t length, const uint8_t mask[4]) {
    uint32_t four;
    memcpy(&four, mask, 4);
    if (four == 0) {
        memcpy(out, in, length);
        return;
    }
    uint64_t eight = (uint64_t)four << 32 | four, word;
    size_t at = 0;
    for (; at + 8 <= length; at += 8) {
        memcpy(&word, in + at, 8);
        word ^= eight;
        memcpy(out + at, &word, 8);
    }
    for (; at < length; at++) out[at] = in[at] ^ mask[at & 3];
}
