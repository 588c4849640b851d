/* What of RFC 6455 an anchor needs: the handshake, the header of a server's frame, the mask. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { ANSWER_MAX = 256, CHANNEL_MAX = 128 };

/* Reads one whole HTTP request (it ends with an empty line and a NUL). Writes the channel of its path
 * ("/" is the channel with the empty name, "/c/NAME" is NAME) and the answer to send. Returns the
 * answer's length; *accepted says whether it is an upgrade. */
size_t answer_handshake(const char *request, char channel[CHANNEL_MAX], char answer[ANSWER_MAX], int *accepted);

/* Writes the header of an unmasked frame, at most 10 bytes; returns its length. */
size_t put_header(uint8_t *out, uint8_t first, size_t length);

/* Copies length bytes and takes the mask off. */
void unmask(uint8_t *out, const uint8_t *in, size_t length, const uint8_t mask[4]);
