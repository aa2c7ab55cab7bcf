/* What the machine can do: a receiver of C-STORE that does nothing but what has to be done.

     limit PORT FOLDER    each object into a file, fsync of the file and of its folder, success
     limit PORT -         each object is thrown away: how fast is the sender alone?

   One thread for an association. It believes everything that it is told, on loopback only. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM (1 << 18)

static const char *folder; /* NULL: throw away */
static unsigned objects;

struct peer {
    int socket, above;
    size_t low, high;
    unsigned char buffer[ROOM];
};

static void leave(struct peer *p)
{
    close(p->socket);
    if (folder)
        close(p->above);
    free(p);
    pthread_exit(NULL);
}

static int fill(struct peer *p)
{
    if (p->low == p->high)
        p->low = p->high = 0;
    if (p->high == ROOM) {
        memmove(p->buffer, p->buffer + p->low, p->high - p->low);
        p->high -= p->low;
        p->low = 0;
    }
    ssize_t got = recv(p->socket, p->buffer + p->high, ROOM - p->high, 0);
    if (got <= 0)
        return 0;
    p->high += got;
    return 1;
}

/* The next `count` bytes, at most ROOM; good until the next call. */
static unsigned char *take(struct peer *p, size_t count)
{
    while (p->high - p->low < count)
        if (!fill(p))
            leave(p);
    p->low += count;
    return p->buffer + p->low - count;
}

static uint32_t big(const unsigned char *at)
{
    uint32_t value;
    memcpy(&value, at, 4);
    return ntohl(value);
}

static void all(int to, const unsigned char *data, size_t count)
{
    while (count) {
        ssize_t done = write(to, data, count);
        if (done <= 0)
            exit(1);
        data += done;
        count -= done;
    }
}

/* Accept the one context that the sender proposes, PS3.8 9.3.3. */
static void accept_association(struct peer *p, unsigned char *rq, size_t length)
{
    unsigned char ac[1024] = {2};
    size_t end = 6;
    memcpy(ac + end, rq, 68);
    end += 68;
    for (size_t at = 68; at + 4 <= length; at += 4 + (rq[at + 2] << 8 | rq[at + 3])) {
        size_t size = rq[at + 2] << 8 | rq[at + 3];
        if (rq[at] == 0x10) { /* application context */
            memcpy(ac + end, rq + at, 4 + size);
            end += 4 + size;
        } else if (rq[at] == 0x20) { /* presentation context: its first transfer syntax is taken */
            size_t abstract = rq[at + 10] << 8 | rq[at + 11];
            unsigned char *first = rq + at + 12 + abstract;
            size_t syntax = 4 + (first[2] << 8 | first[3]);
            unsigned char head[] = {0x21, 0, (4 + syntax) >> 8, 4 + syntax, rq[at + 4], 0, 0, 0};
            memcpy(ac + end, head, 8);
            memcpy(ac + end + 8, first, syntax);
            end += 8 + syntax;
        }
    }
    static const unsigned char user[] = {0x50, 0, 0, 19, 0x51, 0, 0, 4, 0, 2, 0, 0,
                                         0x52, 0, 0, 7, '2', '.', '2', '5', '.', '4', '2'};
    memcpy(ac + end, user, sizeof user);
    end += sizeof user;
    uint32_t size = htonl(end - 6);
    memcpy(ac + 2, &size, 4);
    all(p->socket, ac, end);
}

/* C-STORE-RSP with success, PS3.7 9.3.1.2: without the UIDs, which are optional. */
static void succeed(struct peer *p, uint16_t message_id, unsigned char context)
{
    unsigned char rsp[] = {4, 0, 0, 0, 0, 58, 0, 0, 0, 54, context, 3,
                           0, 0, 0, 0, 4, 0, 0, 0, 40, 0, 0, 0,
                           0, 0, 0x00, 0x01, 2, 0, 0, 0, 0x01, 0x80,
                           0, 0, 0x20, 0x01, 2, 0, 0, 0, message_id, message_id >> 8,
                           0, 0, 0x00, 0x08, 2, 0, 0, 0, 0x01, 0x01,
                           0, 0, 0x00, 0x09, 2, 0, 0, 0, 0, 0};
    all(p->socket, rsp, sizeof rsp);
}

static uint16_t message_id_of(const unsigned char *command, size_t length)
{
    for (size_t at = 0; at + 10 <= length;) {
        uint32_t size;
        memcpy(&size, command + at + 4, 4);
        if (command[at + 2] == 0x10 && command[at + 3] == 0x01)
            return command[at + 8] | command[at + 9] << 8;
        at += 8 + size;
    }
    return 0;
}

static int opened(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%u", folder, __sync_fetch_and_add(&objects, 1));
    int file = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    if (file < 0)
        exit(1);
    return file;
}

static void *serve(void *given)
{
    struct peer *p = given;
    int file = -1;
    uint16_t message_id = 0;
    for (;;) {
        unsigned char kind = *take(p, 1);
        uint32_t length = big(take(p, 5) + 1);
        if (kind == 1)
            accept_association(p, take(p, length), length);
        else if (kind == 4) {
            unsigned char *head = take(p, 6), context = head[4], control = head[5];
            length -= 6;
            if (control & 1) {
                message_id = message_id_of(take(p, length), length);
                if (folder)
                    file = opened();
                continue;
            }
            while (length) {
                if (p->low == p->high && !fill(p))
                    leave(p);
                size_t some = p->high - p->low < length ? p->high - p->low : length;
                if (folder)
                    all(file, p->buffer + p->low, some);
                p->low += some;
                length -= some;
            }
            if (control & 2) {
                if (folder && (fsync(file) || close(file) || fsync(p->above)))
                    exit(1);
                succeed(p, message_id, context);
            }
        } else { /* a release, or an abort */
            static const unsigned char released[] = {6, 0, 0, 0, 0, 4, 0, 0, 0, 0};
            if (kind == 5)
                all(p->socket, released, sizeof released);
            leave(p);
        }
    }
}

int main(int count, char **given)
{
    if (count != 3)
        return 2;
    folder = strcmp(given[2], "-") ? given[2] : NULL;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(given[1]))};
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int door = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(door, (void *)&here, sizeof here) || listen(door, 64)) {
        perror("limit");
        return 1;
    }
    for (;;) {
        struct peer *p = malloc(sizeof *p);
        p->socket = accept(door, NULL, NULL);
        p->above = folder ? open(folder, O_RDONLY) : -1;
        p->low = p->high = 0;
        setsockopt(p->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, p))
            return 1;
        pthread_detach(thread);
    }
}
